//! What an operator does to a running Pumasi, by command.

use std::{
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::service::{Service, binary};

fn versions() -> Service {
    let app = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/apps/version.js");
    Service::run(
        &format!(
            r#"
[edge]
listen = "{{site}}"
[[edge.route]]
path = "/*"
pool = "app"
[pool.app]
command = ["node", "{}"]
workers = 2
env = {{ VERSION = "one" }}
probe = {{ path = "/", every = "1s" }}
[console]
listen = "{{console}}"
"#,
            app.display()
        ),
        &[],
    )
}

/// Rewrites the running service's configuration.
fn rewrite(service: &Service, from: &str, to: &str) {
    let file = service.home.path().join("pumasi.toml");
    let before = std::fs::read_to_string(&file).expect("it was written");
    assert!(before.contains(from), "{from:?} is not in the configuration");
    std::fs::write(&file, before.replace(from, to)).expect("written");
}

#[test]
fn a_reload_brings_the_new_version_without_a_failed_request() {
    let mut service = versions();
    assert!(service.get("/").body.starts_with("version one"));
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|n| {
            let (stop, url) = (stop.clone(), format!("{}{}", service.site, if n == 0 { "/slow" } else { "/" }));
            std::thread::spawn(move || {
                let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
                let mut bad = vec![];
                while !stop.load(Ordering::Relaxed) {
                    let read = agent.get(&url).call().and_then(|mut answer| Ok((answer.status(), answer.body_mut().read_to_string()?)));
                    match read {
                        Ok((status, body)) if status == 200 && body.starts_with("version") => {}
                        other => bad.push(format!("{other:?}")),
                    }
                }
                bad
            })
        })
        .collect();
    for version in ["two", "three"] {
        let before = if version == "two" { "one" } else { "two" };
        rewrite(&service, &format!("VERSION = \"{before}\""), &format!("VERSION = \"{version}\""));
        let (code, out, err) = service.tell(&["reload"]);
        assert_eq!(code, 0, "{out}{err}");
        service.wait_until("only the new version answers", |service| {
            (0..8).all(|_| service.get("/").body.starts_with(&format!("version {version}")))
        });
    }
    stop.store(true, Ordering::Relaxed);
    let bad: Vec<String> = clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
    assert!(bad.is_empty(), "{} failed: {:?}", bad.len(), &bad[..bad.len().min(5)]);
}

#[test]
fn a_broken_configuration_is_refused_whole_and_says_where() {
    let service = versions();
    rewrite(&service, "pool = \"app\"", "pool = \"ap\"");
    let (code, _, err) = service.tell(&["reload"]);
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("pumasi.toml:6:") && err.contains("\"ap\"") && err.contains("app"), "{err}");
    assert!(service.get("/").body.starts_with("version one"), "nothing changed");
    let (code, _, err) = service.tell(&["validate"]);
    assert_eq!(code, 3, "{err}");
}

#[test]
fn status_and_drain_tell_and_do() {
    let mut service = versions();
    let (code, out, err) = service.tell(&["status", "--json"]);
    assert_eq!(code, 0, "{err}");
    let status: serde_json::Value = serde_json::from_str(&out).expect("JSON on standard output, nothing else");
    assert_eq!(status["pools"][0]["upstreams"].as_array().map(Vec::len), Some(2));
    let (code, out, _) = service.tell(&["status"]);
    assert!(code == 0 && out.contains("app.1") && out.contains("ready"), "{out}");
    let (code, out, err) = service.tell(&["drain", "app.1"]);
    assert_eq!(code, 0, "{out}{err}");
    let drained = service.status()["pools"][0]["upstreams"][0]["address"]
        .as_str()
        .expect("an address")
        .rsplit_once(':')
        .expect("a port")
        .1
        .to_owned();
    service.wait_until("the drained worker gets no request", |service| (0..10).all(|_| !service.get("/").body.ends_with(&drained)));
}

#[test]
fn a_taken_port_says_which_key_and_who_holds_it() {
    let service = versions();
    let address = service.site.strip_prefix("http://").expect("a site");
    let home = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(binary());
    command.args(["run", "--listen", address, "--console", "off", "--state"]).arg(home.path()).args(["--", "node", "x.js"]);
    let output = command.current_dir(home.path()).output().expect("pumasi runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(said.contains("edge.listen") && said.contains(address) && said.contains(&service.pid().to_string()), "{said}");
}
