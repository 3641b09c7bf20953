//! The pages. Each is a list of parts with ids; a whole page is its parts in a frame, and a live page sends those that changed.
mod configuration;
mod events;
mod front;
mod load;
mod routes;
mod sql;
mod stores;
mod workers;

use maud::{DOCTYPE, Markup, html};
use pumasi_chart::Unit;
use pumasi_status::Traffic;
use serde::Deserialize;

use crate::Shared;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Front,
    Routes,
    Workers,
    Stores,
    Sql,
    Load,
    Configuration,
    Events,
}

/// What an address asks beside the page's name. What is not understood is the default: an address is typed by people.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Question {
    /// `5m`, `1h` or `1w`: how far back the charts reach.
    #[serde(default)]
    pub range: String,
    /// Kept load tests to be compared.
    #[serde(default)]
    pub before: String,
    #[serde(default)]
    pub after: String,
}

/// A piece of a page that is replaced as a whole when it changes.
pub struct Part {
    pub id: &'static str,
    pub content: Markup,
}

/// The outcome of something a person did on a page.
pub struct Notice {
    ok: bool,
    text: String,
}

impl Notice {
    pub fn of(outcome: Result<String, String>) -> Notice {
        Notice { ok: outcome.is_ok(), text: outcome.unwrap_or_else(|error| error) }
    }
}

impl Page {
    /// In the order of the menu.
    const ALL: [Page; 8] =
        [Page::Front, Page::Routes, Page::Workers, Page::Stores, Page::Sql, Page::Load, Page::Configuration, Page::Events];

    /// The page of an address: the empty name is the front page.
    pub fn named(name: &str) -> Option<Page> {
        Page::ALL.into_iter().find(|page| page.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Page::Front => "",
            Page::Routes => "routes",
            Page::Workers => "workers",
            Page::Stores => "stores",
            Page::Sql => "sql",
            Page::Load => "load",
            Page::Configuration => "configuration",
            Page::Events => "events",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Page::Front => "Overview",
            Page::Routes => "Routes",
            Page::Workers => "Workers",
            Page::Stores => "Pages & results",
            Page::Sql => "SQL",
            Page::Load => "Load tests",
            Page::Configuration => "Configuration",
            Page::Events => "Events",
        }
    }

    pub fn parts(self, shared: &Shared, question: &Question) -> Vec<Part> {
        let picture = shared.picture();
        match self {
            Page::Front => front::parts(shared, &picture, question),
            Page::Routes => routes::parts(&picture.status),
            Page::Workers => workers::parts(&picture.status),
            Page::Stores => stores::parts(&picture.status),
            Page::Sql => sql::parts(&picture.status),
            Page::Load => load::parts(shared, question),
            Page::Configuration => configuration::parts(shared),
            Page::Events => events::parts(&picture.status),
        }
    }

    /// Forms below the parts. They are not parts: nothing replaces a form while somebody fills it in.
    fn forms(self, shared: &Shared) -> Option<Markup> {
        match self {
            Page::Load => shared.service.load_tests().map(|tests| load::form(tests.running().is_some())),
            Page::Configuration => Some(configuration::form()),
            Page::Stores => Some(stores::form()),
            Page::Workers => Some(workers::form()),
            _ => None,
        }
    }
}

/// A whole page.
pub fn whole(shared: &Shared, page: Page, question: &Question, signed_in: bool, notice: Option<&Notice>) -> Markup {
    let live = format!("/live/{}{}", if page == Page::Front { "front" } else { page.name() }, query(question));
    let content = html! {
        main id="content" data-live=(live) {
            h1 { (page.title()) }
            @if let Some(notice) = notice {
                p.notice.failed[!notice.ok] role=(if notice.ok { "status" } else { "alert" }) { (notice.text) }
            }
            @for part in page.parts(shared, question) {
                // Sentences are read aloud as they change; figures are not.
                div id=(part.id) aria-live=[(part.id == front::VERDICTS).then_some("polite")] { (part.content) }
            }
            @if let Some(forms) = page.forms(shared) {
                @if signed_in { (forms) } @else { p.quiet { a href="/login" { "Sign in" } " with the console's token to change something here." } }
            }
        }
    };
    frame(page.title(), Some((page, &shared.picture().status.version, signed_in)), content)
}

pub fn login(shared: &Shared, signed_in: bool, wrong: bool) -> Markup {
    let content = html! {
        main id="content" {
            h1 { "Sign in" }
            @if signed_in {
                p { "This browser is signed in: it may change things." }
                form method="post" action="/logout" { button { "Sign out" } }
            } @else {
                p { "Looking needs no token; changing something does. It is in the file " code { (shared.token.file().display()) } " on this machine." }
                @if wrong { p.notice.failed role="alert" { "That is not the console's token." } }
                form.narrow method="post" action="/login" {
                    // Tells password managers whose token it is.
                    input type="text" name="user" value="console" autocomplete="username" hidden;
                    label for="token" { "Token" }
                    input #token name="token" type="password" autocomplete="current-password" required autofocus;
                    button { "Sign in" }
                }
            }
        }
    };
    frame("Sign in", None, content)
}

pub fn not_found() -> Markup {
    frame(
        "Nothing here",
        None,
        html! { main id="content" { h1 { "There is nothing here" } p { "The console's pages are in the menu above." } } },
    )
}

/// The console's style sheet: its own, and the charts'.
pub fn style() -> String {
    [include_str!("../style.css"), pumasi_chart::STYLE].concat()
}

fn frame(title: &str, at: Option<(Page, &str, bool)>, content: Markup) -> Markup {
    let here = at.map(|(page, ..)| page);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Pumasi" }
                link rel="icon" href="/icon.svg";
                link rel="stylesheet" href="/style.css";
                script src="/live.js" defer {}
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header {
                    a.name href="/" { img src="/icon.svg" alt="" width="24" height="24"; "Pumasi" }
                    nav aria-label="Pages" {
                        ul {
                            @for page in Page::ALL {
                                li { a href=(format!("/{}", page.name())) aria-current=[(here == Some(page)).then_some("page")] { (page.title()) } }
                            }
                        }
                    }
                }
                p.lost role="status" { "No connection to Pumasi. The figures below are the last ones it sent." }
                (content)
                footer {
                    @if let Some((_, version, signed_in)) = at {
                        "Pumasi " (version) " · "
                        a href="/login" { @if signed_in { "Signed in" } @else { "Sign in" } } " · "
                    }
                    a href="/metrics" { "Metrics" } " · " a href="/api/status" { "Status as JSON" }
                }
            }
        }
    }
}

// === pieces of pages ===

/// What a live page must ask to be the same as the page it lives on.
fn query(question: &Question) -> String {
    let plain = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    match question.range.as_str() {
        range @ ("1h" | "1w") => format!("?range={range}"),
        _ if plain(&question.before) && plain(&question.after) => format!("?before={}&after={}", question.before, question.after),
        _ => String::new(),
    }
}

/// A term and its figure, with a word for screen readers and for people who do not know the unit.
fn figure(term: &str, value: impl maud::Render) -> Markup {
    html! { div { dt { (term) } dd { (value) } } }
}

fn time(us: u64) -> String {
    Unit::Microseconds.show(us as f64)
}

/// A percentile of a place. Where nobody asked lately there is none to show.
fn latency(traffic: &Traffic, us: u64) -> String {
    if traffic.rate > 0.0 && us > 0 { time(us) } else { "–".into() }
}

fn rate(per_second: f64) -> String {
    Unit::PerSecond.show(per_second)
}

fn share(of_one: f64) -> String {
    Unit::Share.show(of_one)
}

fn bytes(count: u64) -> String {
    Unit::Bytes.show(count as f64)
}

fn count(number: u64) -> String {
    Unit::Count.show(number as f64)
}

/// `3 of 4` as a share; a dash when there was nothing.
fn share_of(part: u64, whole: u64) -> String {
    if whole == 0 { "–".into() } else { share(part as f64 / whole as f64) }
}

/// `3 days`, `2 h 5 min`, `40 s`.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Percentiles and the rest of a [`Traffic`], as cells of a table that has [`traffic_heads`].
fn traffic_cells(traffic: &Traffic) -> Markup {
    html! {
        td { (rate(traffic.rate)) }
        td.failing[traffic.success < 0.99] { (share(traffic.success)) }
        td { (traffic.in_flight) }
        td { (latency(traffic, traffic.latency_us_p50)) }
        td { (latency(traffic, traffic.latency_us_p95)) }
        td { (latency(traffic, traffic.latency_us_p99)) }
    }
}

fn traffic_heads() -> Markup {
    html! { th scope="col" { "Rate" } th scope="col" { "Success" } th scope="col" { "In flight" } th scope="col" { "p50" } th scope="col" { "p95" } th scope="col" { "p99" } }
}

/// A state as a word with a dot; the dot's colour is for the eye only.
fn state(word: &str) -> Markup {
    let class = match word {
        "up" | "ready" | "serving" | "following" => "good",
        "starting" | "probing" | "draining" | "drained" | "stopping" => "between",
        _ => "bad",
    };
    html! { span.state.(class) { (word) } }
}

/// A table that scrolls sideways by itself when the screen is narrow, and can be reached by keyboard to do so.
fn table(label: &str, head: Markup, body: Markup) -> Markup {
    html! { div.table tabindex="0" role="region" aria-label=(label) { table { thead { tr { (head) } } tbody { (body) } } } }
}

#[cfg(test)]
mod tests;
