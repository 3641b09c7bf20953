//! The reference application through every tier, as a visitor meets it.

use std::path::PathBuf;

use crate::{
    browser::Browser,
    engines::{Engine, on_either_engine},
    service::Service,
};

on_either_engine! {
    the_demo_serves_the_board_and_ends_with_nothing_left: 2,
    a_browser_posts_cheers_and_sees_the_count_rise: 2,
}

/// Where the screenshots go: looked at by people, kept by nobody.
fn screenshots(engine: Engine) -> PathBuf {
    let folder = if engine == Engine::Embedded { "embedded" } else { "mariadb" };
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots").join(folder)
}

fn the_demo_serves_the_board_and_ends_with_nothing_left(engine: Engine) {
    let service = Service::demo_on(engine, &["--workers", "2"]);
    let front = service.get("/");
    assert_eq!(front.status, 200);
    assert!(front.body.contains("부탁하냥"), "{}", front.body);
    assert_eq!(front.body.matches("href=\"/ask/").count(), 50, "one link for each ask");
    assert_eq!(service.get("/ask/999999").status, 404);
    assert_eq!(service.post("/ask", &[("message", "")]).status / 100, 4);
    let posted = service.post("/ask", &[("message", "물 좀 주세요 <b>")]);
    assert_eq!(posted.status, 303);
    let page = service.get(posted.header("location"));
    assert!(page.status == 303 || page.body.contains("물 좀 주세요 &lt;b&gt;"), "{}", page.body);
    assert!(service.get("/").body.contains("물 좀 주세요 &lt;b&gt;"), "the new ask is on the front page at once");
    let workers = service.worker_pids();
    assert_eq!(workers.len(), 2);
    let (status, said) = service.interrupt();
    assert!(status.success(), "{said}");
    assert!(workers.iter().all(|pid| !crate::service::alive(*pid)), "a worker is left");
}

fn a_browser_posts_cheers_and_sees_the_count_rise(engine: Engine) {
    let service = Service::demo_on(engine, &["--workers", "2"]);
    let screenshots = screenshots(engine);
    let browser = Browser::open(390, 844, "ko-KR");
    browser.go(&service.site);
    browser.screenshot(&screenshots.join("board-phone.png"));
    browser.find("textarea[name=message], input[name=message]").type_text("고양이 밥 주실 분?");
    browser.find("form[action='/ask'] button").click();
    browser.wait_for("document.body.innerText.includes('고양이 밥 주실 분?')");
    // To the ask's own page, wherever the redirect led.
    let own = browser.evaluate("[...document.querySelectorAll('a[href^=\"/ask/\"]')].find(a => (a.closest('li,article,tr,div') || a).innerText.includes('고양이 밥'))?.getAttribute('href') || location.pathname");
    let own = own.as_str().expect("a path").to_owned();
    for cheer in ["제가 갈게요!", "힘내세요"] {
        browser.go(&format!("{}{own}", service.site));
        browser.find("textarea[name=message], input[name=message]").type_text(cheer);
        browser.find(&format!("form[action='{own}/cheer'] button")).click();
        browser.wait_for(&format!("document.body.innerText.includes('{cheer}')"));
    }
    browser.screenshot(&screenshots.join("ask-phone.png"));
    browser.go(&service.site);
    let card = browser.evaluate(&format!("document.querySelector('a[href=\"{own}\"]').closest('li,article,tr').innerText"));
    assert!(card.as_str().unwrap_or_default().contains('2'), "two cheers are counted: {card}");
    assert_eq!(browser.console_errors(), Vec::<String>::new());

    let desk = Browser::open(1280, 800, "en-US");
    desk.go(&service.site);
    desk.screenshot(&screenshots.join("board.png"));
    desk.prefer("dark");
    desk.screenshot(&screenshots.join("board-dark.png"));
    desk.prefer("light");
    desk.go(&service.console);
    desk.wait_for("document.body.innerText.includes('app.1')");
    desk.screenshot(&screenshots.join("console.png"));
    desk.prefer("dark");
    desk.screenshot(&screenshots.join("console-dark.png"));
    assert_eq!(desk.console_errors(), Vec::<String>::new());
    let phone = Browser::open(390, 844, "en-US");
    phone.go(&service.console);
    phone.wait_for("document.body.innerText.includes('app.1')");
    phone.screenshot(&screenshots.join("console-phone.png"));
    assert_eq!(
        phone.evaluate("document.documentElement.scrollWidth <= window.innerWidth"),
        serde_json::Value::Bool(true),
        "no sideways scrolling on a phone"
    );
}
