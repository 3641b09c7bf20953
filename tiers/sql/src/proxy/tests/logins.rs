//! Who may log in, and as whom they are at the server.

use std::process;

use pumasi_config::CertificatePlan;

use super::*;

pub(super) fn logins_are_checked_here_and_at_the_server(database: &MariaDb) {
    let house = House::new(database, 10);
    assert_eq!(Client::login(&house.listener, "app", "wrong", client::PLAIN).err(), Some(1045));
    assert_eq!(Client::login(&house.listener, "root", "", client::PLAIN).err(), Some(1045), "a user of the server's that is none here");
    let login =
        |database| Client::login_with(&house.listener, "app", "secret", client::PLAIN, "caching_sha2_password", Some(database)).err();
    assert_eq!(login("shop"), None);
    assert_eq!(login("missing"), Some(1049));
    assert!(Client::greeting(&house.listener).version.contains("MariaDB"));

    let nobody = Target::parse("mysql://app:secret@127.0.0.1:1").unwrap();
    let settings = Settings { name: "gone".into(), engine: nobody.address(), connections_max: 10, users: Vec::new() };
    let proxy = Proxy::start(nobody, settings, Options::default(), 1).unwrap();
    let listener = proxy.listen((Ipv4Addr::LOCALHOST, 0).into(), None).unwrap();
    assert_eq!(Client::login(&listener, "app", "secret", client::PLAIN).err(), Some(1429));
}

/// What the server itself says a password's hash is.
fn hashed(database: &MariaDb, name: &str, password: &str) -> SqlUser {
    let printed = database.run(&format!("SELECT PASSWORD('{password}')"));
    let digits = printed.trim().strip_prefix('*').expect("a native hash");
    let hash = std::array::from_fn(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).expect("hexadecimal digits"));
    SqlUser { name: name.into(), password: SqlPassword::NativeHash(hash) }
}

pub(super) fn a_hash_opens_this_side_and_the_login_made_with_it_the_other(database: &MariaDb) {
    database.run("CREATE USER ann@'%' IDENTIFIED BY 'ann''s own'; GRANT ALL ON shop.* TO ann@'%'");
    let house = House::of(database, vec![hashed(database, "bob", "secret"), hashed(database, "ann", "ann''s own")], 10, Options::default());
    let login = |user, password, plugin| Client::login_with(&house.listener, user, password, client::PLAIN, plugin, Some("shop"));
    for plugin in ["mysql_native_password", "caching_sha2_password", "client_ed25519", "a_plugin_nobody_has"] {
        for wrong in ["Secret", "", "ann's own"] {
            assert_eq!(login("bob", wrong, plugin).err(), Some(1045), "{plugin}");
        }
        let mut bob = login("bob", "secret", plugin).unwrap_or_else(|code| panic!("{plugin}: {code}"));
        assert!(one(&mut bob, "SELECT CURRENT_USER()").starts_with("bob@"));
        assert_eq!(bob.change_user("ann", "ann's own", plugin), Ok(()));
        assert!(one(&mut bob, "SELECT CURRENT_USER()").starts_with("ann@"), "with the key of her own login");
        assert_eq!(bob.change_user("bob", "ann's own", plugin), Err(1045));
    }
    // The second of them is on a connection that the key alone has opened beside the first's.
    let (mut first, mut second) = (login("bob", "secret", NATIVE).unwrap(), login("bob", "secret", NATIVE).unwrap());
    first.query("BEGIN").ok();
    assert_ne!(connection_of(&mut first), connection_of(&mut second));

    // What is written here is not what the server has.
    let house = House::of(database, vec![hashed(database, "bob", "another")], 10, Options::default());
    let login = |password| Client::login_with(&house.listener, "bob", password, client::PLAIN, NATIVE, Some("shop")).err();
    assert_eq!((login("secret"), login("another")), (Some(1045), Some(1045)), "refused here, then there");
    database.run("DROP USER ann@'%'");
}

pub(super) fn servers_that_ask_for_ed25519_get_it(database: &MariaDb) {
    database.run("INSTALL SONAME 'auth_ed25519'");
    for (user, password) in [("eve", "a pässword, and one longer than the thirty-two bytes of a seed"), ("eva", "x")] {
        database
            .run(&format!("CREATE USER {user}@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{password}'); GRANT ALL ON shop.* TO {user}@'%'"));
        let house = |user| House::of(database, vec![user], 10, Options::default());
        let login = |house: &House, password| Client::login_with(&house.listener, user, password, client::PLAIN, NATIVE, Some("shop"));

        let knowing = house(SqlUser { name: user.into(), password: password.into() });
        let mut client = login(&knowing, password).expect("the password is the server's");
        assert!(one(&mut client, "SELECT CURRENT_USER()").starts_with(user));
        assert_eq!(
            login(&house(SqlUser { name: user.into(), password: "guessed".into() }), "guessed").err(),
            Some(1045),
            "in the server's words"
        );
        // The native hash opens this side, and answers nothing else than native challenges.
        assert_eq!(login(&house(hashed(database, user, password)), password).err(), Some(2059));
        database.run(&format!("DROP USER {user}@'%'"));
    }
}

/// By the codec's client and by MariaDB's own.
pub(super) fn clients_may_prove_themselves_with_ed25519(database: &MariaDb) {
    let house = House::new(database, 10);
    for (password, refusal) in [("secret", None), ("Secret", Some(1045)), ("", Some(1045))] {
        let login = Client::login_with(&house.listener, "app", password, client::PLAIN, "client_ed25519", Some("shop"));
        assert_eq!(login.err(), refusal);
    }
    assert_eq!(Client::login_with(&house.listener, "nobody", "secret", client::PLAIN, "client_ed25519", None).err(), Some(1045));
    let mut client = house.client();
    assert_eq!(client.change_user("app", "secret", "client_ed25519"), Ok(()));
    let port = house.listener.address().port();
    let program = |password: &str| {
        let mut command = std::process::Command::new("mariadb");
        command.args(["--no-defaults", "--default-auth=client_ed25519", "-h127.0.0.1", "-uapp", "-N", "-eSELECT CURRENT_USER()"]);
        command.args([format!("-P{port}"), format!("-p{password}")]).output().expect("MariaDB's client")
    };
    assert_eq!(String::from_utf8_lossy(&program("secret").stdout).trim(), "app@%");
    assert!(String::from_utf8_lossy(&program("guessed").stderr).contains("1045"));
}

pub(super) fn reset_and_change_of_user_begin_anew(database: &MariaDb) {
    let users = ["app", "bob"].map(|name| SqlUser { name: name.into(), password: "secret".into() }).to_vec();
    let house = House::of(database, users, 10, Options::default());
    let listener = &house.listener;
    let mut client = Client::login_with(listener, "app", "secret", client::PLAIN, "mysql_native_password", Some("shop")).unwrap();
    client.query("SET @a = 5, autocommit = 0").ok();
    client.query("INSERT INTO t (a) VALUES ('gone')").ok();
    let statement = client.prepare("SELECT 1").unwrap().statement;
    client.command(Command::ResetConnection).ok();
    assert_eq!(
        client.query("SELECT @a, @@autocommit, DATABASE(), (SELECT COUNT(*) FROM t)").text_rows()[0][1..],
        text(&[&["1", "shop", "0"]])[0]
    );
    assert_eq!(one(&mut client, "SELECT @a"), "NULL");
    assert_eq!(client.execute(statement, &[]).error(), 1243);
    assert_eq!(client.change_user("bob", "secret", "mysql_native_password"), Ok(()));
    assert!(one(&mut client, "SELECT CURRENT_USER()").starts_with("bob@"));
    // Who fails stays who he was, and may not try for ever.
    for _ in 0..3 {
        assert_eq!(client.change_user("app", "wrong", "mysql_native_password"), Err(1045));
    }
    assert!(one(&mut client, "SELECT CURRENT_USER()").starts_with("bob@"));
    assert_eq!(client.change_user("app", "secret", "mysql_native_password"), Err(1047));
}

pub(super) fn who_logs_in_after_a_change_of_globals_or_accounts_finds_it(database: &MariaDb) {
    let users = ["app", "carl"].map(|name| SqlUser { name: name.into(), password: "secret".into() }).to_vec();
    let house = House::of(database, users, 10, Options::default());
    let login = |name| Client::login_with(&house.listener, name, "secret", client::PLAIN, "mysql_native_password", None);
    let mut ann = login("app").unwrap();
    let before = one(&mut ann, "SELECT @@sql_mode");
    assert_ne!(before, "");
    ann.query("SET GLOBAL sql_mode = ''").ok();
    assert_eq!(one(&mut login("app").unwrap(), "SELECT @@sql_mode"), "");
    assert_eq!(one(&mut ann, "SELECT @@sql_mode"), before, "a session keeps what it began with");
    ann.query("SET GLOBAL sql_mode = DEFAULT").ok();
    ann.query("CREATE USER carl@'%' IDENTIFIED BY 'secret'").ok();
    assert_eq!(one(&mut login("carl").unwrap(), "SELECT 1"), "1");
    ann.query("DROP USER carl@'%'").ok();
    // The server is asked with the first statement.
    assert_eq!(login("carl").unwrap().query("SELECT 1").error(), 1045, "not on the connection that the account before it has left");
}

pub(super) fn whom_the_configuration_does_not_name_the_server_judges(database: &MariaDb) {
    for (name, how) in [("fay", "BY 'her own'"), ("gil", "BY ''"), ("hal", "VIA ed25519 USING PASSWORD('his own')")] {
        database.run(&format!("CREATE USER {name}@'%' IDENTIFIED {how}; GRANT ALL ON shop.* TO {name}@'%'"));
    }
    let house = House::with(database, 10, Options { users_learned_max: 2, ..Options::default() });
    let login = |user, password, plugin| Client::login_with(&house.listener, user, password, client::PLAIN, plugin, Some("shop"));
    let native = |user, password| login(user, password, NATIVE);
    for _ in 0..2 {
        assert_eq!(native("fay", "wrong").err(), Some(1045));
        assert_eq!(native("fay", "").err(), Some(1045));
        let mut fay = native("fay", "her own").unwrap_or_else(|code| panic!("{code}"));
        assert!(one(&mut fay, "SELECT CURRENT_USER()").starts_with("fay@"));
        // A client that would rather use another plugin is switched.
        assert!(one(&mut login("fay", "her own", "caching_sha2_password").unwrap(), "SELECT CURRENT_USER()").starts_with("fay@"));
    }
    assert!(one(&mut native("gil", "").unwrap(), "SELECT CURRENT_USER()").starts_with("gil@"));
    assert_eq!(native("gil", "something").err(), Some(1045));
    assert_eq!(native("hal", "his own").err(), Some(1251), "a signature is worth nothing a second time");
    assert_eq!(native("nobody", "x").err(), Some(1045));
    // Two of them at once on connections of their own, opened by what the first login has shown; and COM_CHANGE_USER.
    let (mut first, mut second) = (native("fay", "her own").unwrap(), native("fay", "her own").unwrap());
    first.query("BEGIN").ok();
    assert_ne!(connection_of(&mut first), connection_of(&mut second));
    let mut app = house.client();
    assert_eq!(app.change_user("fay", "her own", NATIVE), Ok(()));
    assert_eq!(app.change_user("fay", "wrong", NATIVE), Err(1045));
    assert!(one(&mut app, "SELECT CURRENT_USER()").starts_with("fay@"));
    // A change through Pumasi is known at once, one past it when the new password is used.
    house.client().query("SET PASSWORD FOR fay@'%' = PASSWORD('changed')").ok();
    assert_eq!(native("fay", "her own").err(), Some(1045));
    assert!(one(&mut native("fay", "changed").unwrap(), "SELECT CURRENT_USER()").starts_with("fay@"));
    database.run("SET PASSWORD FOR fay@'%' = PASSWORD('again')");
    assert!(one(&mut native("fay", "again").unwrap(), "SELECT CURRENT_USER()").starts_with("fay@"));
    // A client that leaves in the middle of its login does not count against Pumasi's address.
    let errors = || database.run("SELECT COALESCE(SUM(SUM_CONNECT_ERRORS), 0) FROM performance_schema.host_cache");
    let before = errors();
    for _ in 0..3 {
        let mut leaves = Client::raw(&house.listener);
        leaves.begin_login("fay", NATIVE);
        drop(leaves);
    }
    wait_for("the logins to be refused", || house.proxy.status().connections <= 4);
    assert_eq!(errors(), before);
    // Off, they are nobody.
    let house = House::new(database, 10);
    assert_eq!(Client::login_with(&house.listener, "fay", "again", client::PLAIN, NATIVE, None).err(), Some(1045));
    database.run("DROP USER fay@'%', gil@'%', hal@'%'");
}

pub(super) fn a_public_key_opens_this_side_and_a_password_of_our_own_the_other(database: &MariaDb) {
    database.run("CREATE USER ivy@'%' IDENTIFIED BY 'for Pumasi'; GRANT ALL ON shop.* TO ivy@'%'");
    let key = pumasi_mysqlwire::auth::ed25519_public_key("hers alone".as_bytes());
    let of = |at_server: &str| SqlPassword::Ed25519Key { key, at_server: Some(at_server.into()) };
    let house = House::of(database, vec![SqlUser { name: "ivy".into(), password: of("for Pumasi") }], 10, Options::default());
    let login = |house: &House, password, plugin| Client::login_with(&house.listener, "ivy", password, client::PLAIN, plugin, Some("shop"));
    for plugin in [NATIVE, "caching_sha2_password", "client_ed25519"] {
        assert_eq!(login(&house, "for Pumasi", plugin).err(), Some(1045));
        assert_eq!(login(&house, "", plugin).err(), Some(1045));
        let mut ivy = login(&house, "hers alone", plugin).unwrap_or_else(|code| panic!("{plugin}: {code}"));
        assert!(one(&mut ivy, "SELECT CURRENT_USER()").starts_with("ivy@"));
    }
    let wrong = House::of(database, vec![SqlUser { name: "ivy".into(), password: of("a guess") }], 10, Options::default());
    assert_eq!(login(&wrong, "hers alone", "client_ed25519").err(), Some(1045), "the server's own word");
    database.run("DROP USER ivy@'%'");
}

/// By MariaDB's own client, which hands its password over within TLS when it is asked to.
pub(super) fn within_tls_any_account_can_be_learned(database: &MariaDb) {
    let folder = tempfile::tempdir().unwrap();
    let signed = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let plan = CertificatePlan { chain: folder.path().join("chain.pem"), key: folder.path().join("key.pem") };
    std::fs::write(&plan.chain, signed.cert.pem()).unwrap();
    std::fs::write(&plan.key, signed.signing_key.serialize_pem()).unwrap();
    let options = Options { users_learned_max: 10, tls: Some(for_clients(&plan).unwrap()), ..Options::default() };
    let house = House::with(database, 10, options);
    let port = house.listener.address().port();
    for (name, how) in [("joe", "VIA ed25519 USING PASSWORD('his own')"), ("kim", "BY 'his own'"), ("lea", "BY ''")] {
        database.run(&format!("CREATE USER {name}@'%' IDENTIFIED {how}"));
        let login = |password: &str, options: &[&str]| {
            let mut command = process::Command::new("mariadb");
            command.args(["--no-defaults", "--ssl", "-h127.0.0.1", "-N", "-eSELECT CURRENT_USER()"]).args(options);
            let output = command
                .args([format!("-P{port}"), format!("-u{name}"), format!("--password={password}")])
                .output()
                .expect("MariaDB's client");
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        let right = if name == "lea" { "" } else { "his own" };
        for options in [&[][..], &["--default-auth=caching_sha2_password"]] {
            for _ in 0..2 {
                assert!(login("wrong", options).contains("ERROR 1045"), "{name} {options:?}: {}", login("wrong", options));
                assert_eq!(login(right, options), format!("{name}@%\n"), "{options:?}");
            }
        }
        database.run(&format!("DROP USER {name}@'%'"));
    }
}
