//! Every page of the console, in a real browser, light and dark, on a desk and on a phone.

use std::path::PathBuf;

use serde_json::Value;

use crate::{browser::Browser, service::Service};

/// Address, the name of its screenshots, and what shows that the page is about the running service.
const PAGES: [(&str, &str, &str); 9] = [
    ("/", "overview", "app.1"),
    ("/routes", "routes", "app"),
    ("/workers", "workers", "app.2"),
    ("/stores", "stores", "Hit share"),
    ("/sql", "sql", "COUNT"),
    ("/load", "load", "evening"),
    ("/configuration", "configuration", "pool.app.workers"),
    ("/events", "events", "ready"),
    ("/login", "login", "console.token"),
];

fn screenshot(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/screenshots/console").join(format!("{name}.png"))
}

#[test]
fn every_page_is_readable_by_everybody_and_moves_with_the_service() {
    let service = Service::demo(&["--workers", "2"]);
    let token = std::fs::read_to_string(service.home.path().join("state/console.token")).expect("the console's token");
    let browser = Browser::open(1280, 900, "en-US");

    // A person signs in and starts a load test, watches it, and finds its report.
    browser.go(&format!("{}/login", service.console));
    browser.find("#token").type_text(token.trim());
    browser.find("form[action='/login'] button").click();
    browser.wait_for("document.body.innerText.includes('Signed in')");
    browser.go(&format!("{}/load", service.console));
    browser.find("#lasts_s").type_text("\u{e009}a\u{e000}3");
    browser.find("#rate").type_text("\u{e009}a\u{e000}10");
    browser.find("#name").type_text("evening");
    browser.find("form[action='/api/load/start'] button").click();
    browser.wait_for("document.body.innerText.includes('Response time')");
    browser.screenshot(&screenshot("load-running"));
    browser.wait_for("!!document.querySelector('a[href$=\"evening\"]')");
    let report = browser.evaluate("document.querySelector('a[href$=\"evening\"]').href");
    browser.go(report.as_str().expect("an address"));
    browser.wait_for("document.body.innerText.includes('TPS')");
    browser.screenshot(&screenshot("load-report"));

    // The front page is replaced in place: what the address bar says stays, the figures move.
    browser.go(&service.console);
    browser.evaluate("void (document.body.dataset.same = 'yes')");
    let uptime = "[...document.querySelectorAll('dt')].find(term => term.textContent == 'running for').nextSibling.textContent";
    let before = browser.evaluate(uptime);
    browser.wait_for(&format!("{uptime} != {before}"));
    assert_eq!(browser.evaluate("document.body.dataset.same"), Value::String("yes".into()), "without loading the page anew");

    for (width, height, size) in [(1280, 900, "desk"), (390, 844, "phone")] {
        let browser = Browser::open(width, height, "en-US");
        for (path, name, shows) in PAGES {
            browser.go(&format!("{}{path}", service.console));
            browser.wait_for(&format!("document.body.textContent.includes('{shows}')"));
            for scheme in ["light", "dark"] {
                browser.prefer(scheme);
                assert_eq!(browser.obstacles(), Vec::<String>::new(), "{path} on a {size}, {scheme}");
                browser.screenshot(&screenshot(&format!("{name}-{size}-{scheme}")));
            }
        }
        assert_eq!(browser.console_errors(), Vec::<String>::new());
    }
}

#[test]
fn the_board_is_readable_by_everybody() {
    let service = Service::demo(&["--workers", "1"]);
    for (width, height, size) in [(1280, 900, "desk"), (390, 844, "phone")] {
        let browser = Browser::open(width, height, "ko-KR");
        for (path, shows) in [("/", "응원"), ("/ask/1", "응원"), ("/ask/999999", "404")] {
            browser.go(&format!("{}{path}", service.site));
            browser.wait_for(&format!("document.body.textContent.includes('{shows}')"));
            for scheme in ["light", "dark"] {
                browser.prefer(scheme);
                assert_eq!(browser.obstacles(), Vec::<String>::new(), "{path} on a {size}, {scheme}");
            }
        }
    }
}
