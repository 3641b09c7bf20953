//! A real browser, driven by the W3C WebDriver protocol through Debian's chromedriver.
//!
//! A dozen JSON requests is all the tests need; a driver library would bring its own asynchronous HTTP stack for them.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::Engine as _;
use serde_json::{Value, json};

/// The key under which WebDriver names an element (W3C WebDriver 11, "web element identifier").
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub struct Browser {
    driver: Child,
    session: String,
    agent: ureq::Agent,
    _profile: tempfile::TempDir,
}

pub struct Element<'b> {
    browser: &'b Browser,
    id: String,
}

impl Browser {
    /// A headless browser with an empty profile and a window of `width` x `height` CSS pixels.
    pub fn open(width: u32, height: u32, language: &str) -> Browser {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver (Debian: chromium-driver; `cargo xtask install`)");
        let port = port_of(&mut driver);
        let profile = tempfile::tempdir().expect("a folder for the browser's profile");
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(60))).build().into();
        let options = json!({"args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            format!("--window-size={width},{height}"), format!("--accept-lang={language}"), format!("--user-data-dir={}", profile.path().display()),
        ], "prefs": {"intl.accept_languages": language}});
        let opened = post(
            &agent,
            &format!("http://127.0.0.1:{port}/session"),
            json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}),
        );
        let id = opened["sessionId"].as_str().unwrap_or_else(|| panic!("no browser session: {opened}")).to_owned();
        let browser = Browser { driver, session: format!("http://127.0.0.1:{port}/session/{id}"), agent, _profile: profile };
        browser.post(
            "/goog/cdp/execute",
            json!({"cmd": "Emulation.setDeviceMetricsOverride",
            "params": {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}}),
        );
        browser
    }

    pub fn go(&self, url: &str) {
        self.post("/url", json!({"url": url}));
    }

    pub fn url(&self) -> String {
        self.read("/url").as_str().unwrap_or_default().to_owned()
    }

    /// Chooses what `prefers-color-scheme` answers.
    pub fn prefer(&self, scheme: &str) {
        self.post(
            "/goog/cdp/execute",
            json!({"cmd": "Emulation.setEmulatedMedia", "params": {"features": [{"name": "prefers-color-scheme", "value": scheme}]}}),
        );
    }

    /// The first element that matches a CSS selector; waits up to ten seconds for it.
    pub fn find(&self, css: &str) -> Element<'_> {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            let found = self.post("/element", json!({"using": "css selector", "value": css}));
            if let Some(id) = found[ELEMENT].as_str() {
                return Element { browser: self, id: id.to_owned() };
            }
            assert!(Instant::now() < until, "no element matches {css:?} at {}: {}", self.url(), self.find_text());
            std::thread::yield_now();
        }
    }

    fn find_text(&self) -> String {
        self.post("/execute/sync", json!({"script": "return document.body.innerText", "args": []})).as_str().unwrap_or_default().to_owned()
    }

    /// The value of a JavaScript expression in the page.
    pub fn evaluate(&self, expression: &str) -> Value {
        self.post("/execute/sync", json!({"script": format!("return {expression}"), "args": []}))
    }

    /// Waits until an expression is true in the page.
    pub fn wait_for(&self, expression: &str) {
        let until = Instant::now() + Duration::from_secs(10);
        while self.evaluate(expression) != Value::Bool(true) {
            assert!(Instant::now() < until, "never became true: {expression}\nthe page: {}", self.find_text());
            std::thread::yield_now();
        }
    }

    /// What is wrong with the page by the browser's own console: errors only.
    pub fn console_errors(&self) -> Vec<String> {
        let log = self.post("/se/log", json!({"type": "browser"}));
        let entries = log.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .filter(|entry| entry["level"] == "SEVERE")
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// What people with a screen reader, a keyboard, weak eyes or a small screen would stumble over on this page.
    pub fn obstacles(&self) -> Vec<String> {
        let found = self.post("/execute/sync", json!({"script": include_str!("browser/audit.js"), "args": []}));
        found
            .as_array()
            .unwrap_or_else(|| panic!("the audit failed: {found}"))
            .iter()
            .map(|one| one.as_str().unwrap_or_default().into())
            .collect()
    }

    /// Writes a PNG of the whole page.
    pub fn screenshot(&self, file: &Path) {
        let shot = self.post(
            "/goog/cdp/execute",
            json!({"cmd": "Page.captureScreenshot", "params": {"format": "png", "captureBeyondViewport": true}}),
        );
        let png = base64::engine::general_purpose::STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("base64");
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder for screenshots");
        std::fs::write(file, png).expect("the screenshot is written");
    }

    fn read(&self, path: &str) -> Value {
        let mut answer = self.agent.get(format!("{}{path}", self.session)).call().expect("the driver answers");
        answer.body_mut().read_json::<Value>().expect("JSON")["value"].clone()
    }

    fn post(&self, path: &str, body: Value) -> Value {
        post(&self.agent, &format!("{}{path}", self.session), body)
    }
}

impl Element<'_> {
    pub fn click(&self) {
        self.act("click", json!({}));
    }

    pub fn type_text(&self, text: &str) {
        self.act("value", json!({"text": text}));
    }

    fn act(&self, verb: &str, body: Value) {
        let done = self.browser.post(&format!("/element/{}/{verb}", self.id), body);
        assert!(done.is_null(), "{verb} failed: {done}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn post(agent: &ureq::Agent, url: &str, body: Value) -> Value {
    let mut answer = agent.post(url).send_json(body).expect("the driver answers");
    answer.body_mut().read_json::<Value>().expect("JSON")["value"].clone()
}

/// chromedriver says on its standard output which port it took, after it repeated the one it was asked for: 0.
fn port_of(driver: &mut Child) -> u16 {
    let mut output = BufReader::new(driver.stdout.take().expect("piped")).lines();
    for line in output.by_ref() {
        let line = line.expect("text");
        let port = line.rsplit_once("on port ").and_then(|(_, port)| port.trim_end_matches('.').parse().ok());
        if let Some(port) = port.filter(|port| *port != 0) {
            // Somebody must read what it says from now on, or it would meet a closed pipe.
            std::thread::spawn(move || output.for_each(drop));
            return port;
        }
    }
    panic!("chromedriver ended before it said its port")
}
