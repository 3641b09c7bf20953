//! `pumasi explain`: what is said of a page before anybody asked for it, while it is kept, and after a write.

use serde_json::Value;

use crate::service::Service;

fn explain(service: &Service, url: &str) -> Value {
    let state = service.home.path().join("state").display().to_string();
    let (code, out, err) = service.tell(&["explain", url, "--json", "--state", &state]);
    assert_eq!(code, 0, "{err}");
    let mut told: Vec<Value> = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told.len(), 1, "{out}");
    told.remove(0)
}

fn in_words(service: &Service, url: &str) -> String {
    let state = service.home.path().join("state").display().to_string();
    let (code, out, err) = service.tell(&["explain", url, "--state", &state]);
    assert_eq!(code, 0, "{err}");
    out
}

fn visit(service: &Service, path: &str) -> bool {
    service.get(path).header("cache-status").contains("hit")
}

#[test]
fn a_page_is_explained_before_it_is_kept_while_it_is_and_after_a_write() {
    let mut service = Service::demo(&["--workers", "1"]);
    let posted = service.post("/ask", &[("message", "Why is this kept?")]);
    let path = posted.header("location").to_owned();
    let url = format!("{}{path}", service.site);

    let before = explain(&service, &url);
    assert_eq!((&before["url"], &before["pages"]), (&url.as_str().into(), &"automatic".into()));
    assert_eq!((&before["kept"], &before["refused"], &before["dropped"]), (&Value::Array(vec![]), &Value::Null, &Value::Null));
    assert!(in_words(&service, &url).contains("nothing is remembered of it"), "{}", in_words(&service, &url));

    // The first answer is not given to others: comparisons come first.
    assert!(!visit(&service, &path));
    let probation = explain(&service, &url);
    assert_eq!(probation["refused"]["reason"], "probation", "{probation}");
    assert_eq!(
        (&probation["trial"]["kind"], &probation["trial"]["equal"]),
        (&format!("{} /ask/*", probation["route"].as_str().unwrap()).into(), &0.into())
    );

    service.wait_until("the page is kept", |service| visit(service, &path));
    let kept = explain(&service, &url);
    let page = &kept["kept"][0];
    assert_eq!((&page["status"], &page["state"], &page["write"]), (&200.into(), &"clean".into(), &Value::Null), "{kept}");
    assert!(page["bytes"].as_u64() > Some(500), "{kept}");
    assert_eq!(tables(&page["made_of"]), ["askhy.ask", "askhy.cheer"], "{kept}");
    let ask = page["made_of"]["tables"].as_array().unwrap().iter().find(|read| read["table"]["names"][0] == "askhy.ask").unwrap();
    assert!(ask["rows"].as_u64() >= Some(1), "row by row: {kept}");
    // A path alone means every host, and finds the same page.
    assert_eq!(explain(&service, &path)["url"], url.as_str());

    // A write elsewhere leaves it; a cheer drops it. Not through the site, whose answer would drop the page's address as well.
    let other = service.post("/ask", &[("message", "Another one")]).header("location").to_owned();
    service.post(&format!("{other}/cheer"), &[("message", "not for you")]);
    assert_eq!(explain(&service, &url)["kept"][0]["state"], "clean");
    let id: u64 = path.rsplit('/').next().unwrap().parse().expect("an id");
    let stamp = page["made_of"]["stamp"].as_u64().expect("a number");
    cheer(service.database(), id);
    let over = explain(&service, &url);
    let page = &over["kept"][0];
    assert_eq!(page["state"], "overtaken", "{over}");
    assert!(page["write"]["number"].as_u64() > Some(stamp), "{over}");
    dropped_by_the_cheer(&page["write"]);

    // The next visitor makes it anew; what dropped the old one stays known.
    assert!(!visit(&service, &path));
    let anew = explain(&service, &url);
    assert_eq!((&anew["dropped"]["why"], &anew["kept"][0]["state"]), (&"overtaken".into(), &"clean".into()), "{anew}");
    dropped_by_the_cheer(&anew["dropped"]["write"]);
    let by = &anew["invalidations"][0];
    assert_eq!((&by["table"]["names"][0], by["times"].as_u64() >= Some(1)), (&"askhy.cheer".into(), true), "{anew}");
    let status = service.status();
    let route = status["edge"]["routes"].as_array().unwrap().iter().find(|route| route["route"] == anew["route"]).unwrap();
    assert_eq!(route["invalidations"][0]["table"]["names"][0], "askhy.cheer", "{status}");
    let words = in_words(&service, &url);
    for told in [
        "would be used now",
        "askhy.cheer",
        "last dropped: a write changed what it was made of",
        "INSERT INTO cheer",
        "made wrong by askhy.cheer",
    ] {
        assert!(words.contains(told), "{told}: {words}");
    }

    // Who says who he is gets an answer of his own, and that is what is said of it.
    service.try_get(&path, &[("authorization", "Basic YTpi")]).expect("an answer");
    assert_eq!(explain(&service, &url)["refused"]["reason"], "personal");

    // A purge is one too, and the page is gone.
    let state = service.home.path().join("state").display().to_string();
    assert_eq!(service.tell(&["purge", &url, "--state", &state]).0, 0);
    let purged = explain(&service, &url);
    assert_eq!((&purged["kept"], &purged["dropped"]["why"]), (&Value::Array(vec![]), &"purged".into()), "{purged}");

    let (code, _, err) = service.tell(&["explain", "nonsense", "--state", &state]);
    assert_eq!(code, 1);
    assert!(err.contains("is no address"), "{err}");
}

/// The same where a real server has the rows, and its log says which were written.
#[test]
fn a_page_of_a_real_server_is_explained_too() {
    let mut service = Service::demo(&["--engine", "mariadb:1", "--workers", "1"]);
    service.wait_until("the log is followed", |service| service.status()["sql"][0]["followed"]["mode"] == "row-exact");
    let path = service.post("/ask", &[("message", "Why is this kept?")]).header("location").to_owned();
    let url = format!("{}{path}", service.site);
    let id: u64 = path.rsplit('/').next().unwrap().parse().expect("an id");
    service.wait_until("the page is kept", |service| visit(service, &path));
    let kept = explain(&service, &url);
    assert_eq!(
        (&kept["kept"][0]["state"], tables(&kept["kept"][0]["made_of"])),
        (&"clean".into(), vec!["askhy.ask".into(), "askhy.cheer".into()])
    );
    // Through Pumasi: the statement is known.
    cheer(service.database(), id);
    let over = explain(&service, &url);
    assert_eq!(over["kept"][0]["state"], "overtaken", "{over}");
    dropped_by_the_cheer(&over["kept"][0]["write"]);
    // Past it: seen in the log, and whose it was is not known.
    service.wait_until("the page is kept again", |service| visit(service, &path));
    let status = service.status();
    let members = status["sql"][0]["cluster"]["members"].as_array().cloned().unwrap_or_default();
    let primary = members.iter().find(|member| member["role"] == "primary").expect("a primary");
    cheer(primary["address"].as_str().and_then(|address| address.parse().ok()).expect("an address"), id);
    service.wait_until("the write is seen", |service| explain(service, &url)["kept"][0]["state"] == "overtaken");
    let write = explain(&service, &url)["kept"][0]["write"].take();
    assert_eq!((&write["table"]["names"][0], &write["statement"]), (&"askhy.cheer".into(), &Value::Null), "{write}");
    assert!(!visit(&service, &path) && in_words(&service, &url).contains("askhy.cheer"));
}

fn tables(made_of: &Value) -> Vec<String> {
    let tables = made_of["tables"].as_array().expect("tables");
    let mut names: Vec<String> = tables.iter().map(|read| read["table"]["names"][0].as_str().expect("a name").to_owned()).collect();
    names.sort();
    names
}

fn dropped_by_the_cheer(write: &Value) {
    assert_eq!(write["known"], true, "{write}");
    assert_eq!(write["table"]["names"][0], "askhy.cheer", "{write}");
    let statement = write["statement"].as_str().expect("a statement");
    assert!(statement.starts_with("INSERT INTO cheer") && !statement.contains("meow"), "{statement}");
    assert!(write["at_unix_ms"].as_u64() > Some(1_700_000_000_000), "{write}");
}

/// As somebody at the database does it.
fn cheer(database: std::net::SocketAddr, ask: u64) {
    use mysql_async::{prelude::*, *};
    let options = OptsBuilder::default()
        .ip_or_hostname(database.ip().to_string())
        .tcp_port(database.port())
        .user(Some("root"))
        .db_name(Some("askhy"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut connection = Conn::new(options).await.expect("it connects");
        let insert = format!("INSERT INTO cheer (ask_id, message, ip_address, register_time) VALUES ({ask}, 'meow', '10.0.0.1', NOW())");
        insert.ignore(&mut connection).await.expect("inserted");
        connection.disconnect().await.expect("it leaves");
    });
}
