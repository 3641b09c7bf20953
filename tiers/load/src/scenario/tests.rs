use super::*;

fn compiled(text: &str) -> Result<Plan, String> {
    let source = Source { name: "s.toml".into(), text: text.into(), directory: "/nonexistent".into() };
    compile(&source, &Overrides::default()).map_err(|problems| problems.to_string())
}

/// The request of the first step, rendered with nothing to fill in.
fn request(text: &str) -> String {
    let plan = compiled(text).unwrap_or_else(|problems| panic!("{problems}"));
    String::from_utf8(plan.steps[0].request.fixed.as_ref().expect("nothing in it changes").to_vec()).unwrap()
}

/// `complaints` are pieces of the message, each of which must be there.
fn refused(text: &str, complaints: &[&str]) {
    let message = compiled(text).map(|_| ()).expect_err(text);
    for complaint in complaints {
        assert!(message.contains(complaint), "no {complaint:?} in\n{message}");
    }
}

const TARGET: &str = "[load]\ntarget = \"http://127.0.0.1:8080/base/\"\n";

#[test]
fn a_request_has_what_http_needs() {
    assert_eq!(
        request(&format!("{TARGET}headers = {{ Accept = \"text/html\" }}\n[[scenario]]\nsteps = [{{ get = \"/고?x=1\" }}]")),
        format!(
            "GET /base/%EA%B3%A0?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: pumasi-load/{}\r\nAccept: text/html\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        )
    );
    let json =
        request(&format!("{TARGET}[[scenario]]\nsteps = [{{ put = \"/\", json = {{ a = [1, true, \"x\\\"y\"], b = {{ c = 1.5 }} }} }}]"));
    assert!(json.contains("Content-Type: application/json\r\nContent-Length: 35\r\n\r\n"), "{json}");
    assert!(json.ends_with("{\"a\":[1,true,\"x\\\"y\"],\"b\":{\"c\":1.5}}"), "{json}");
    let options = request(&format!("{TARGET}[[scenario]]\nsteps = [{{ request = \"PURGE\", path = \"/x\", body = \"b\" }}]"));
    assert!(options.starts_with("PURGE /base/x HTTP/1.1\r\n") && options.ends_with("\r\n\r\nb"), "{options}");
}

#[test]
fn the_shape_comes_from_stages_rate_or_vusers() {
    let scenario = "[[scenario]]\nsteps = [{ get = \"/\" }]";
    let shape = |load: &str| preview(&compiled(&format!("{TARGET}{load}\n{scenario}")).unwrap());
    assert_eq!(
        shape("rate = 200\nfor = \"2m\"\nwarmup = \"10s\""),
        ["    0us + 10s     200/s  (warm-up, not measured)", "    10s + 2m      200/s"]
    );
    assert_eq!(
        shape("warmup = \"0s\"\nstages = [{ rate = 50, for = \"30s\", ramp = true }, { rate = 200, for = \"1m30s\" }]"),
        ["    0us + 30s     0 -> 50/s", "    30s + 1m30s   200/s"]
    );
    assert_eq!(shape("vusers = 20\nfor = \"5s\"\nwarmup = \"0s\""), ["    0us + 5s      20 vusers"]);
}

#[test]
fn mistakes_are_told_with_their_place() {
    refused("[load\ntarget = 1", &["s.toml:1:", "not TOML"]);
    refused(
        &format!("{TARGET}ratee = 5\n[[scenario]]\nsteps = [{{ get = \"/\" }}]"),
        &["s.toml:3:1: load.ratee: unknown key. Did you mean rate?", "^^^^^"],
    );
    refused(
        &format!("{TARGET}[[scenario]]\nname = \"x\"\nsteps = [\r\n  {{ get = \"/${{nme}}\" }}]"),
        &["s.toml:6:11: scenario.steps.get: ${nme} is not known"],
    );
    refused(&format!("{TARGET}[[scenario]]\nsteps = [{{ gett = \"/\" }}]"), &["has no request", "gett: unknown key. Did you mean get?"]);
    refused(
        &format!("{TARGET}for = 10\n[[scenario]]\nsteps = [{{ get = \"/\" }}]"),
        &["s.toml:3:7: load.for: must be a string, not integer"],
    );
    refused(&format!("{TARGET}[[scenario]]\nsteps = [{{ get = \"/\", think = \"3s..1s\" }}]"), &["ends before it starts"]);
    refused(&format!("{TARGET}[[scenario]]\nsteps = [{{ get = \"http://x/\" }}]"), &["does not start with /"]);
    refused(&format!("{TARGET}[[scenario]]\nsteps = [{{ get = \"/\", check = {{ status = 99 }} }}]"), &["check.status: is not a status"]);
    refused(
        &format!("{TARGET}[[scenario]]\nsteps = [{{ get = \"/\", extract = {{ a = {{ regex = \"(\" }} }} }}]"),
        &["extract.a.regex: unclosed group"],
    );
    refused(
        &format!("{TARGET}[data]\nx = {{ csv = \"no.csv\" }}\n[[scenario]]\nsteps = [{{ get = \"/\" }}]"),
        &["data.x.csv", "No such file"],
    );
    refused(
        &format!("{TARGET}[[scenario]]\nsteps = [{{ get = \"/\", headers = {{ Connection = \"close\" }} }}]"),
        &["\"Connection\" is set by the generator"],
    );
    refused(
        "[load]\ntarget = \"ftp://x\"\n[[scenario]]\nsteps = [{ get = \"/\" }]",
        &["s.toml:2:10: load.target: \"ftp://x\" is not an http:// or https:// URL"],
    );
    refused(TARGET, &["scenario: there is none"]);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let message =
        compiled("[load]\ntarget = \"x\"\nrate = -1\n[[scenario]]\nsteps = [{ get = 5 }]\n\"고양이\" = 1").map(|_| ()).unwrap_err();
    assert_eq!(message.matches("s.toml:").count(), 5, "{message}");
}

#[test]
fn what_one_scenario_extracts_is_not_known_in_another() {
    let text = format!(
        "{TARGET}[[scenario]]\nsteps = [{{ get = \"/\", extract = {{ id = {{ json = \"/id\" }} }} }}, {{ get = \"/${{id}}\" }}]\n[[scenario]]\nsteps = [{{ get = \"/${{id}}\" }}]"
    );
    let message = compiled(&text).map(|_| ()).unwrap_err();
    assert_eq!(message.matches("is not known").count(), 1, "{message}");
}

#[test]
fn a_step_does_not_know_what_its_own_answer_brings() {
    refused(
        &format!("{TARGET}[[scenario]]\nsteps = [{{ get = \"/${{id}}\", extract = {{ id = {{ json = \"/id\" }} }} }}]"),
        &["${id} is not known"],
    );
}

#[test]
fn urls_split_into_target_and_path() {
    let split = |url: &str| {
        Target::split(url, &Trust::System).map(|(target, path)| (target.authority, target.addresses[0].port(), target.tls.is_some(), path))
    };
    assert_eq!(split("http://127.0.0.1:81/a?b=c#d"), Ok(("127.0.0.1:81".into(), 81, false, "/a?b=c".into())));
    assert_eq!(split("http://[::1]"), Ok(("[::1]".into(), 80, false, "/".into())));
    assert_eq!(split("https://127.0.0.1?x"), Ok(("127.0.0.1".into(), 443, true, "/?x".into())));
    for wrong in ["127.0.0.1", "http://", "http://u:p@127.0.0.1/", "http://127.0.0.1:x/"] {
        assert!(split(wrong).is_err(), "{wrong} was accepted");
    }
}

/// The manual's example is a scenario that compiles.
#[test]
fn the_manual_s_example_compiles() {
    let manual = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/load-testing.md")).unwrap();
    let example: Vec<&str> = manual.lines().skip_while(|line| *line != "    [load]").take_while(|line| !line.starts_with('|')).collect();
    let text: String = example.iter().map(|line| format!("{}\n", line.trim_start_matches("    "))).collect();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("users.csv"), "name,password\na,b\n").unwrap();
    std::fs::write(directory.path().join("items.csv"), "id\n1\n").unwrap();
    let source = Source { name: "manual".into(), text, directory: directory.path().into() };
    let plan = compile(&source, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((plan.steps.len(), plan.scenarios.len(), plan.objectives.len()), (5, 2, 2));
}
