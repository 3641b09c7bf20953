//! Messages are compared with `tests/messages.txt`: one reads them there as a user would. `UPDATE_SNAPSHOTS=1` rewrites the file.

use super::*;
use crate::{
    declare::{Given, Key, Schema, Shape},
    keys::File,
    tree::Data,
};

fn source(text: &str) -> Source {
    Source { name: "pumasi.toml".into(), text: text.into(), directory: "/srv/shop".into() }
}

fn surroundings() -> Surroundings {
    Surroundings { cores: 2, environment: BTreeMap::from([("HOME".into(), "/root".into())]), flags: vec![] }
}

fn plan(text: &str) -> Plan {
    match load(&source(text), &surroundings()) {
        Ok(loaded) => loaded.plan,
        Err(problems) => panic!("{text}\n{problems}"),
    }
}

fn problems(text: &str) -> String {
    match load(&source(text), &surroundings()) {
        Ok(loaded) => panic!("no problem found:\n{text}\n{:?}", loaded.plan),
        Err(problems) => problems.to_string(),
    }
}

/// A pool, so that only the mistake in question is left.
const POOL: &str = "[pool.app]\ncommand = \"x\"\n";

#[test]
fn every_mistake_names_place_key_value_and_remedy() {
    let cases: Vec<(&str, String)> = vec![
        ("first line", "[egde]\nlisten = \"127.0.0.1:80\"\n".to_owned() + POOL),
        ("no network", "[edge]\ntrusted_proxies = [\"10.0.0.1/8\", \"proxy\", \"10.0.0.0/40\"]\n".to_owned() + POOL),
        (
            "two ways for one name",
            "[[edge.tcp]]\nlisten = \"0.0.0.0:443\"\nnames = [\"a.example\"]\npool = \"app\"\n[[edge.tcp]]\nlisten = \"0.0.0.0:443\"\nnames = [\"A.example\"]\npool = \"app\"\n"
                .to_owned()
                + POOL,
        ),
        (
            "two TCP sections for every name",
            "[[edge.tcp]]\nlisten = \"0.0.0.0:443\"\npool = \"app\"\n[[edge.tcp]]\nlisten = \"0.0.0.0:443\"\npool = \"app\"\n".to_owned() + POOL,
        ),
        ("sticky and pages", "[[edge.route]]\npool = \"app\"\npages = \"standard\"\n".to_owned() + POOL + "sticky = {}\n"),
        ("a short key", POOL.to_owned() + "sticky = { cookie = \"a b\", key = \"short\" }\n"),
        ("names of workers", POOL.to_owned() + "resolve_every = \"5s\"\n"),
        ("a TCP probe that expects an answer", POOL.to_owned() + "probe = { kind = \"tcp\", path = \"/\", contains = \"ok\" }\n"),
        ("https upstream", "[pool.app]\nupstreams = [\"https://10.0.0.5:8443\"]\n".into()),
        ("last line, no final newline", POOL.to_owned() + "wrokers = 3"),
        ("last line, with newline", POOL.to_owned() + "workers = \"three\"\n"),
        ("windows line ends", "[pool.app]\r\ncommand = \"x\"\r\nworkers = 0\r\n".into()),
        ("column in characters after Korean text", "[pool]\napp = { env = { GREETING = \"부탁하냥\" }, command = 5 }".into()),
        ("tab before the mistake", "[pool.app]\n\tcommand = 5\n".into()),
        ("not TOML", "[edge\nlisten = 1\n".into()),
        ("not TOML on the last line", POOL.to_owned() + "probe = { path = \"/\""),
        ("unterminated string", "[edge]\nlisten = \"127.0.0.1:80\n".into()),
        ("key twice", POOL.to_owned() + "command = \"y\"\n"),
        ("empty file", "".into()),
        ("unknown key far from any", POOL.to_owned() + "zzz = 1\n"),
        ("section that does not exist yet", "[cache.default]\nredis = \"127.0.0.1:6379\"\n".to_owned() + POOL),
        ("table wanted", "edge = 5\n".to_owned() + POOL),
        ("list wanted", "[edge.route]\npool = \"app\"\n".to_owned() + POOL),
        ("port out of range", "[edge]\nlisten = \"0.0.0.0:99999\"\n".to_owned() + POOL),
        ("port missing", "[edge]\nlisten = \"0.0.0.0\"\n".to_owned() + POOL),
        ("port only, as a number", "[edge]\nlisten = 8080\n".to_owned() + POOL),
        ("one bad address in a list", "[edge]\nlisten = [\"127.0.0.1:80\", \"shop:81\"]\n".to_owned() + POOL),
        ("unknown word", "[[edge.route]]\npool = \"app\"\npages = \"auto\"\n".to_owned() + POOL),
        (
            "duration without unit",
            "[edge.limits]\nidle_timeout = 60\nheader_timeout = \"60\"\nbody_idle_timeout = \"0s\"\n".to_owned() + POOL,
        ),
        ("bad unit", "[edge.limits]\nidle_timeout = \"5 minutes\"\nheader_bytes_max = \"5 apples\"\n".to_owned() + POOL),
        ("size out of range", "[edge.limits]\nheader_bytes_max = \"1GB\"\nbody_bytes_max = -1\n".to_owned() + POOL),
        ("dangling pool", "[[edge.route]]\npool = \"ap\"\n".to_owned() + POOL),
        (
            "dangling pool, nothing near",
            "[[edge.route]]\npool = \"backend\"\n[[edge.route]]\npath=\"/x\"\npool=\"app\"\n".to_owned() + POOL,
        ),
        ("two pools, no route", POOL.to_owned() + "[pool.api]\nupstreams = [\"10.0.0.5:80\"]\n"),
        (
            "a route with pool and files",
            "[[edge.route]]\npool = \"app\"\nfiles = \"public\"\n[pool.app]\nupstreams = [\"127.0.0.1:1\"]".into(),
        ),
        ("a route with neither", "[[edge.route]]\npath = \"/a\"\n[[edge.route]]\nfiles = \"public\"\npages = \"automatic\"".into()),
        ("a disk tier too small", "[[edge.route]]\nfiles = \"public\"\n[edge.pages]\ndisk = \"pages\"\ndisk_size = \"1MiB\"".into()),
        ("pool without a route", "[[edge.route]]\npool = \"app\"\n".to_owned() + POOL + "[pool.api]\ncommand = \"y\"\n"),
        ("the same route twice", "[[edge.route]]\npool = \"app\"\n[[edge.route]]\npath = \"/*\"\npool = \"app\"\n".to_owned() + POOL),
        ("path without slash", "[[edge.route]]\npath = \"api/*\"\npool = \"app\"\n".to_owned() + POOL),
        ("star in the middle", "[[edge.route]]\npath = \"/a/*/b\"\npool = \"app\"\n".to_owned() + POOL),
        ("dangling database", POOL.to_owned() + "env = { P = \"${sql.mian.port}\" }\n[sql.main]\nengine = \"embedded:a.db\"\n"),
        ("dangling database, none at all", POOL.to_owned() + "env = { P = \"${sql.main.port}\" }\n"),
        ("unknown hole", POOL.to_owned() + "env = { P = \"${sql.main}\", Q = \"${port\" }\n"),
        ("variable that is not set", POOL.to_owned() + "env = { P = \"${env.NOT_THERE}\" }\n"),
        ("PORT is ours", POOL.to_owned() + "env = { PORT = \"3000\" }\n"),
        ("command and upstreams", POOL.to_owned() + "upstreams = [\"10.0.0.5:80\"]\n"),
        ("neither", "[pool.app]\nworkers = 2\n".into()),
        ("worker keys without worker", "[pool.app]\nupstreams = [\"10.0.0.5:80\", \"10.0.0.5:80\"]\nworkers = 2\n".into()),
        ("upstream with a scheme", "[pool.app]\nupstreams = [\"http://10.0.0.5:80\", \"10.0.0.5\"]\n".into()),
        ("upstream table", "[pool.app]\nupstreams = [{ addres = \"10.0.0.5:80\" }]\n".into()),
        ("empty command", "[pool.app]\ncommand = []\n".into()),
        ("bad names", "[pool.\"my app\"]\ncommand = \"x\"\n".into()),
        ("pool is not a table", "[pool]\napp = \"npm start\"\n".into()),
        ("probe", POOL.to_owned() + "probe = { path = \"/*\", status_min = 500, every = \"0s\", intervall = 3 }\n"),
        (
            "listeners collide",
            "[edge]\nlisten = [\"0.0.0.0:8090\", \"[::1]:9000\"]\n[sql.main]\nlisten = \"[::1]:9000\"\nengine = \"embedded:a.db\"\n"
                .to_owned()
                + POOL,
        ),
        (
            "engine and primary",
            "[sql.main]\nengine = \"embedded:a.db\"\nprimary = \"mysql://app:hunter2@10.0.0.9/shop\"\n".to_owned() + POOL,
        ),
        (
            "the embedded engine has no servers",
            "[sql.main]\nengine = \"embedded:a.db\"\nserver_connections_max = 9\nserver_connections_wait = \"1s\"\n".to_owned() + POOL,
        ),
        ("no engine", "[sql.main]\n".to_owned() + POOL),
        (
            "unknown engine",
            "[sql.main]\nengine = \"postgres:shop\"\n[sql.b]\nlisten = \"127.0.0.1:1\"\nengine = \"mysql://x\"\n".to_owned() + POOL,
        ),
        (
            "a cluster that cannot be",
            "[sql.a]\nengine = \"mariadb:many\"\n[sql.b]\nlisten = \"127.0.0.1:1\"\nengine = \"mariadb:2/a-b\"\n".to_owned() + POOL,
        ),
        (
            "keys that the engine would ignore",
            "[sql.a]\nengine = \"mariadb:0\"\nreplicas = [\"mysql://a\"]\nreads = \"fresh\"\nredo_log = \"1MiB\"\n[sql.b]\nlisten = \"127.0.0.1:1\"\nprimary = \"mysql://a\"\nredo_log = \"8MiB\"\nfailover = \"manual\"\nfailover_after = \"1s\"\n".to_owned() + POOL,
        ),
        ("reads that are no reads", "[sql.a]\nengine = \"mariadb:1\"\nreads = \"bounded\"\n[sql.b]\nlisten = \"127.0.0.1:1\"\nengine = \"mariadb:1\"\nreads = \"stale\"\n".to_owned() + POOL),
        ("a password on a line that is not TOML", POOL.to_owned() + "[sql.main]\nusers = [{ name = \"a\", password = \"hunter2 }]\n"),
        ("a password is not a number", POOL.to_owned() + "[sql.main]\nengine=\"embedded:a\"\nusers = [{ name = 1, password = 12345 }]\n"),
        (
            "contradictions beside unreadable values",
            POOL.to_owned()
                + "probe = { every = 2 }\n[pool.api]\ncomand = \"y\"\n[edge.pages]\nmemory = \"1MB\"\n[[edge.route]]\npool = \"app\"\n[[edge.route]]\npath = \"/x\"\npool = \"ap\"\n",
        ),
        ("a password is not shown", "[sql.main]\nprimary = \"mysq://app:hunter2@10.0.0.9/shop\"\n".to_owned() + POOL),
        (
            "one file for two databases",
            "[sql.a]\nengine = \"embedded:a.db\"\n[sql.b]\nlisten = \"127.0.0.1:3307\"\nengine = \"embedded:a.db\"\n".to_owned() + POOL,
        ),
        ("open to the world without users", "[sql.main]\nlisten = \"0.0.0.0:3306\"\nengine = \"embedded:a.db\"\n".to_owned() + POOL),
        ("user without password", "[sql.main]\nengine = \"embedded:a.db\"\nusers = [{ name = \"a\" }]\n".to_owned() + POOL),
        (
            "hashes of passwords that are none",
            "[sql.main]\nengine = \"embedded:a.db\"\nusers = [\n  { name = \"a\", password = \"*hunter2\" },\n  { name = \"b\", password = \"*14E65567ABDB5135D0CFD9A70B3032C179A49EEx\" },\n]\n"
                .to_owned()
                + POOL,
        ),
        ("a page store too small", "[edge.pages]\nmemory = \"1MB\"\n".to_owned() + POOL),
        ("log level", "[log]\nlevel = \"inof\"\njson = \"yes\"\n".to_owned() + POOL),
        (
            "several at once, in the order of the file",
            "[console]\nlisten = \"nowhere\"\n[pool.app]\ncommand = 1\n[edge]\nthreads = 0\n".into(),
        ),
    ];
    let told: Vec<String> = cases.iter().map(|(name, text)| format!("== {name}\n{}\n", problems(text))).collect();
    assert!(!told.concat().contains("hunter2") && !told.concat().contains("12345"), "a password is shown");
    snapshot("messages.txt", &told.join("\n"), include_str!("tests/messages.txt"));
}

fn snapshot(file: &str, now: &str, then: &str) {
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(format!("{}/src/tests/{file}", env!("CARGO_MANIFEST_DIR")), now).expect("the source tree is writable");
        return;
    }
    for (now, then) in now.lines().zip(then.lines()) {
        assert_eq!(now, then, "UPDATE_SNAPSHOTS=1 accepts the new text of {file}");
    }
    assert_eq!(now.len(), then.len(), "{file} differs in length");
}

#[test]
fn the_design_example_loads() {
    let text = r#"
[edge]
listen = "0.0.0.0:8080"

[[edge.route]]
path = "/*"
pool = "app"
pages = "automatic"

[pool.app]
command = "gunicorn -b 127.0.0.1:$PORT main:app"
workers = 3
probe = { path = "/", every = "2s" }
env = { DATABASE_HOST = "${sql.main.host}", DATABASE_PORT = "${sql.main.port}" }

[sql.main]
listen = "127.0.0.1:3306"
engine = "embedded:askhy.db"
results = "automatic"

[console]
listen = "127.0.0.1:8090"
"#;
    let plan = plan(text);
    assert_eq!(plan.state, PathBuf::from("/srv/shop/.pumasi"));
    assert_eq!(plan.edge.threads, 2);
    assert_eq!(plan.edge.routes[0].pages, PagesMode::Automatic);
    let Members::Workers(workers) = &plan.pools["app"].members else { panic!("workers expected") };
    assert_eq!(workers.workers, 3);
    assert_eq!(workers.env["DATABASE_PORT"].holes().collect::<Vec<_>>(), [&Hole::SqlPort("main".into())]);
    assert_eq!(workers.env["DATABASE_HOST"].fill(|_| "127.0.0.1".into()), "127.0.0.1");
    assert_eq!(plan.sql["main"].engine, EnginePlan::Embedded { file: "askhy.db".into() });
    assert_eq!(plan.console.expect("on by default").listen.port(), 8090);
}

#[test]
fn amounts_are_read_in_their_units() {
    let limits = |line: &str| plan(&format!("[edge.limits]\n{line}\n{POOL}")).edge.limits;
    assert_eq!(limits("header_bytes_max = \"64KiB\"").header_bytes_max, 65_536);
    assert_eq!(limits("header_bytes_max = \"64kB\"").header_bytes_max, 64_000);
    assert_eq!(limits("header_bytes_max = 20_000").header_bytes_max, 20_000);
    assert_eq!(limits("body_bytes_max = \"2 GB\"").body_bytes_max, 2_000_000_000);
    assert_eq!(limits("body_rate_min = \"1KiB/s\"").body_rate_min, 1024);
    assert_eq!(limits("body_rate_min = 0").body_rate_min, 0);
    assert_eq!(limits("idle_timeout = \"300ms\"").idle_timeout.as_millis(), 300);
    assert_eq!(limits("idle_timeout = \"1m30s\"").idle_timeout.as_secs(), 90);
    assert_eq!(limits("idle_timeout = \"1h\"").idle_timeout.as_secs(), 3600);
}

#[test]
fn flag_wins_over_environment_over_file_over_default() {
    let mut around = surroundings();
    let text = format!("[edge]\nlisten = \"127.0.0.1:1\"\n[edge.limits]\nheaders_max = 50\n{POOL}");
    around.environment.insert("PUMASI__EDGE__LISTEN".into(), "127.0.0.1:2".into());
    around.environment.insert("PUMASI__POOL__APP__WORKERS".into(), "7".into());
    around.environment.insert("PUMASI__POOL__APP__ENV__Mixed_Case".into(), "5".into());
    around.flags.push(Flag { name: "--listen".into(), key: "edge.listen".into(), value: "127.0.0.1:3".into() });
    let loaded = load(&source(&text), &around).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.plan.edge.listen[0].port(), 3);
    let Members::Workers(workers) = &loaded.plan.pools["app"].members else { panic!("workers expected") };
    assert_eq!((workers.workers, workers.env["Mixed_Case"].clone()), (7, Template::literal("5")));
    let origin =
        |path: &str| loaded.settings.iter().find(|setting| setting.path == path).unwrap_or_else(|| panic!("{path}")).origin.clone();
    assert_eq!(origin("edge.listen"), Origin::Flag("--listen".into()));
    assert_eq!(origin("pool.app.workers"), Origin::Environment("PUMASI__POOL__APP__WORKERS".into()));
    assert!(matches!(origin("edge.limits.headers_max"), Origin::File(_)));
    assert_eq!(origin("edge.limits.idle_timeout"), Origin::Default);
}

#[test]
fn the_environment_reaches_lists_and_makes_what_is_missing() {
    let mut around = surroundings();
    for (name, value) in [
        ("PUMASI__POOL__WEB__UPSTREAMS", "10.0.0.1:80, 10.0.0.2:80"),
        ("PUMASI__EDGE__ROUTE__0__POOL", "web"),
        ("PUMASI__EDGE__ROUTE__0__PAGES", "standard"),
        ("PUMASI__EDGE__LISTEN", "[\"127.0.0.1:1\", \"[::1]:1\"]"),
        ("PUMASI__LOG__JSON", "true"),
        ("PUMASI__POOL__WEB__PROBE", "{ path = \"/up\" }"),
    ] {
        around.environment.insert(name.into(), value.into());
    }
    let loaded = load(&source(""), &around).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(loaded.plan.edge.routes[0].pages, PagesMode::Standard);
    assert_eq!(loaded.plan.edge.listen.len(), 2);
    assert_eq!(loaded.plan.pools["web"].probe.as_ref().map(|probe| probe.wish()).as_deref(), Some("answer GET /up"));
    let Members::Upstreams(upstreams) = &loaded.plan.pools["web"].members else { panic!("upstreams expected") };
    assert_eq!(upstreams.len(), 2);
}

#[test]
fn mistakes_in_the_environment_name_the_variable() {
    let told = |name: &str, value: &str| {
        let mut around = surroundings();
        around.environment.insert(name.into(), value.into());
        load(&source(POOL), &around).expect_err("a problem").to_string()
    };
    assert_eq!(told("PUMASI__EDGE__LISTN", "x"), "PUMASI__EDGE__LISTN: edge: unknown key \"listn\". Did you mean \"listen\"?");
    assert_eq!(
        told("PUMASI__POOL__APP__WORKERS", "many"),
        "PUMASI__POOL__APP__WORKERS: pool.app.workers: must be a whole number, not text (\"many\"). Write a number from 1 to 256, without quotes."
    );
    assert_eq!(
        told("PUMASI__EDGE__ROUTE__7__POOL", "app"),
        "PUMASI__EDGE__ROUTE__7__POOL: edge.route: \"7\" is not the number of an entry. Write a number from 0 to 0, where 0 appends one."
    );
}

#[test]
fn secrets_are_masked_in_settings() {
    let text = "[sql.main]\nprimary = \"mysql://app:hunter2@10.0.0.9/shop\"\nusers = [{ name = \"a\", password = \"hunter2\" }]\n";
    let loaded = load(&source(text), &surroundings()).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(!format!("{:?}", loaded.settings).contains("hunter2"), "{:?}", loaded.settings);
    assert!(!format!("{:?}", loaded.plan.sql["main"].users).contains("hunter2"));
}

#[test]
fn a_password_may_be_written_as_its_hash() {
    let hash = "14e65567abdb5135d0cfd9a70b3032c179A49EE7";
    let text = format!(
        "[sql.main]\nprimary = \"mysql://10.0.0.9/shop\"\nusers = [{{ name = \"a\", password = \"*{hash}\" }}, {{ name = \"b\", password = \"{hash}\" }}]\n"
    );
    let loaded = load(&source(&text), &surroundings()).unwrap_or_else(|problems| panic!("{problems}"));
    let users = &loaded.plan.sql["main"].users;
    let SqlPassword::NativeHash(bytes) = users[0].password.clone() else { panic!("not read as a hash") };
    assert_eq!((bytes[0], bytes[1], bytes[19]), (0x14, 0xe6, 0xe7));
    assert_eq!(users[1].password, SqlPassword::from(hash), "without * it is a password");
    assert!(!format!("{:?} {users:?}", loaded.settings).contains(hash), "{:?}", loaded.settings);
}

#[test]
fn a_password_may_be_written_as_its_public_key() {
    let key = "ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY";
    let with = |place: &str, user: &str| format!("[sql.main]\n{place}\nusers = [{{ name = \"a\", {user} }}]\n");
    let (server, embedded) = ("primary = \"mysql://10.0.0.9/shop\"", "engine = \"embedded:a.db\"");
    let loaded = |text: &str| load(&source(text), &surroundings()).unwrap_or_else(|problems| panic!("{problems}"));
    let known = loaded(&with(server, &format!("password = \"ed25519:{key}\", server_password = \"hunter2\"")));
    let SqlPassword::Ed25519Key { key: bytes, at_server } = known.plan.sql["main"].users[0].password.clone() else { panic!("not a key") };
    assert_eq!((bytes[0], bytes[1], bytes[31], at_server.as_deref()), (0x64, 0x88, 0x96, Some("hunter2")));
    assert!(!format!("{:?} {:?}", known.settings, known.plan.sql["main"].users).contains("hunter2"));
    loaded(&with(embedded, &format!("password = \"ed25519:{key}\"")));
    for (place, user, told) in [
        (server, format!("password = \"ed25519:{key}\""), "lets the user in here, and Pumasi nowhere"),
        (server, "password = \"ed25519:secret\"".to_owned(), "43 characters of base64"),
        (server, "password = \"a\", server_password = \"b\"".to_owned(), "whose password is a public key"),
        (embedded, format!("password = \"ed25519:{key}\", server_password = \"b\""), "whose password is a public key"),
    ] {
        let Err(problems) = load(&source(&with(place, &user)), &surroundings()) else { panic!("{user} is taken") };
        let problems = problems.to_string();
        assert!(problems.contains(told), "{problems}");
    }
}

#[test]
fn a_command_without_a_file_runs_two_workers_behind_the_default_listener() {
    let command = ["npm", "run", "it's \"quoted\"", "--port=$PORT"].map(String::from);
    let plan = plan(&text_for_command(&command));
    let Members::Workers(workers) = &plan.pools["app"].members else { panic!("workers expected") };
    let CommandPlan::Program(arguments) = &workers.command else { panic!("a list expected") };
    let filled: Vec<String> = arguments.iter().map(|argument| argument.fill(|_| "4711".into())).collect();
    assert_eq!(filled, ["npm", "run", "it's \"quoted\"", "--port=4711"]);
    assert_eq!((workers.workers, plan.edge.listen[0].to_string()), (2, "127.0.0.1:8080".into()));
    assert_eq!(plan.edge.routes[0].pool, "app");
}

#[test]
fn a_database_alone_needs_no_edge() {
    assert!(plan("[sql.main]\nengine = \"embedded:a.db\"\n").edge.listen.is_empty());
}

#[test]
fn templates_keep_what_is_not_a_hole() {
    let fill = |text: &str| Template::parse(text).expect("a template").fill(|hole| format!("<{hole}>"));
    assert_eq!(fill("a $HOME $${x} ${port}!"), "a $HOME ${x} <${port}>!");
    assert_eq!(fill(""), "");
    assert_eq!(Template::parse("x ${no").expect_err("unclosed").hole, "${no");
}

// === The declarations ===

fn every_key(schema: &'static Schema, path: &str, visit: &mut dyn FnMut(&str, &'static Key)) {
    for key in schema.keys {
        let path = tree::join(path, key.name);
        visit(&path, key);
        match (key.shape)() {
            Shape::Table(schema) | Shape::List(schema) | Shape::Named(schema) => every_key(schema, &path, visit),
            Shape::Leaf | Shape::Strings => {}
        }
    }
}

#[test]
fn every_key_and_every_table_is_documented() {
    every_key(File::SCHEMA, "", &mut |path, key| {
        let text = key.doc.join(" ");
        assert!(text.trim().len() >= 10 && text.trim().ends_with('.'), "{path}: a doc comment of whole sentences is missing: {text:?}");
        if let Shape::Table(schema) | Shape::List(schema) | Shape::Named(schema) = (key.shape)() {
            assert!(!schema.doc.is_empty(), "{path}: its table has no doc comment");
        }
    });
}

#[test]
fn every_default_and_every_example_is_a_value_of_its_kind() {
    every_key(File::SCHEMA, "", &mut |path, key| {
        let (Given::Default(toml) | Given::Unset { example: toml, .. } | Given::Required { example: toml }) = key.given else { return };
        let mut reader = Reader::default();
        (key.try_read)(&Node::of_default(toml), &mut reader);
        assert!(reader.problems.is_empty(), "{path} = {toml}: {:?}", reader.problems);
    });
}

#[test]
fn the_sample_is_a_configuration_once_its_comments_are_taken_off() {
    let uncommented: Vec<String> = sample()
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains([' ', ':'])))
        .map(|line| line.replace("NAME]", "app]"))
        .collect();
    let text = uncommented.join("\n");
    let tree = Node::parse(&text).unwrap_or_else(|problem| panic!("{text}\n{problem:?}"));
    let mut reader = Reader::default();
    File::read(&tree, "", &mut reader).unwrap_or_else(|| panic!("{text}\n{:?}", reader.problems));
    assert!(reader.problems.is_empty(), "{:?}", reader.problems);
    // And every key is in it: each was read from the text, none from its default.
    let Data::Table(sections) = &tree.data else { panic!("a file is a table") };
    assert_eq!(sections.len(), File::SCHEMA.keys.len());
    let not_written: Vec<&Setting> = reader.settings.iter().filter(|setting| setting.origin == Origin::Default).collect();
    // What stands in an inline table of the sample shows only some of its keys; the reference has them all.
    let inline = [".probe.", ".users[", ".sticky.", ".tcp["];
    assert!(not_written.iter().all(|setting| inline.iter().any(|table| setting.path.contains(table))), "{not_written:?}");
}

#[test]
fn the_manual_is_current() {
    let path = format!("{}/../../docs/configuration.md", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, markdown()).expect("the source tree is writable");
    }
    let written = std::fs::read_to_string(&path).expect("docs/configuration.md exists");
    assert!(written == markdown(), "docs/configuration.md is not current: UPDATE_SNAPSHOTS=1 cargo nextest run -p pumasi-config");
}
