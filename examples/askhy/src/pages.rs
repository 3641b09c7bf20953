//! The pages as HTML. Pure: rows and a language come in, a page comes out, the same for the same rows.
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::{
    board::{Ask, AskSummary, Cheer, MESSAGE_CHARS_MAX},
    words::{Language, grouped},
};

/// A message that was not taken: shown again in its form, with the reason.
pub struct Refused<'a> {
    pub message: &'a str,
    pub reason: String,
}

pub fn front(language: Language, asks: &[AskSummary], refused: Option<&Refused>) -> Markup {
    let words = language.words();
    frame(
        language,
        "부탁하냥",
        html! {
            (form("/ask", "ask", words.ask_label, words.ask_hint, words.ask_button, refused))
            h2 { (words.requests) " " span.count { (grouped(asks.len() as u64)) } }
            @if asks.is_empty() { p.nothing { (words.no_asks) } }
            ul.asks {
                @for summary in asks {
                    li {
                        a.card href=(format!("/ask/{}", summary.ask.id)) {
                            span.message { (summary.ask.message) }
                            span.tally { (heart()) (language.cheers_from(summary.cheers, summary.cheerers)) }
                            (signature(&summary.ask.ip_address, &summary.ask.register_time))
                        }
                    }
                }
            }
        },
    )
}

pub fn ask(language: Language, ask: &Ask, cheers: &[Cheer], refused: Option<&Refused>) -> Markup {
    let words = language.words();
    frame(
        language,
        &format!("{} · 부탁하냥", shortened(&ask.message)),
        html! {
            p.back { a href="/" { "← " (words.back) } }
            article.card.open {
                p.message { (ask.message) }
                (signature(&ask.ip_address, &ask.register_time))
            }
            (form(&format!("/ask/{}/cheer", ask.id), "cheer", words.cheer_label, words.cheer_hint, words.cheer_button, refused))
            h2 { (words.cheers) " " span.count { (grouped(cheers.len() as u64)) } }
            @if cheers.is_empty() { p.nothing { (words.no_cheers) } }
            ul.cheers {
                @for cheer in cheers {
                    li {
                        span.message { (cheer.message) }
                        (signature(&cheer.ip_address, &cheer.register_time))
                    }
                }
            }
        },
    )
}

/// A page that says what went wrong and leads back.
pub fn trouble(language: Language, status: u16, (title, advice): (&str, &str)) -> Markup {
    frame(
        language,
        &format!("{title} · 부탁하냥"),
        html! {
            section.trouble {
                p.status { (status) }
                h2 { (title) }
                p { (advice) }
                p.back { a href="/" { "← " (language.words().back) } }
            }
        },
    )
}

/// `65.3.12.9` as `65.3.*.*`, `2001:db8:1:2::3` as `2001:db8:*:*`; the rest would say who it was.
pub fn masked(address: &str) -> String {
    match address.parse() {
        Ok(std::net::IpAddr::V4(v4)) => format!("{}.{}.*.*", v4.octets()[0], v4.octets()[1]),
        Ok(std::net::IpAddr::V6(v6)) => format!("{:x}:{:x}:*:*", v6.segments()[0], v6.segments()[1]),
        Err(_) => "*".into(),
    }
}

// === pieces ===

fn frame(language: Language, title: &str, content: Markup) -> Markup {
    let words = language.words();
    html! {
        (DOCTYPE)
        html lang=(words.tag) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { a href="/" { (cat()) "부탁하냥" } }
                    p { (words.tagline) }
                }
                main { (content) }
                footer { (words.footer) }
            }
        }
    }
}

fn form(action: &str, id: &str, label: &str, hint: &str, button: &str, refused: Option<&Refused>) -> Markup {
    html! {
        form action=(action) method="post" {
            label for=(id) { (label) }
            textarea #(id) name="message" rows="2" required maxlength=(MESSAGE_CHARS_MAX) placeholder=(hint)
                aria-invalid=[refused.map(|_| "true")] aria-describedby=[refused.map(|_| "refused")] {
                (refused.map(|refused| refused.message).unwrap_or_default())
            }
            @if let Some(refused) = refused { p #refused role="alert" { (refused.reason) } }
            button { (button) }
        }
    }
}

fn signature(address: &str, time: &str) -> Markup {
    html! { span.signature { (masked(address)) " · " time datetime=(time) { (time) } } }
}

/// The first characters of a message, for a window's title.
fn shortened(message: &str) -> String {
    let mut characters = message.chars();
    let start: String = characters.by_ref().take(40).collect();
    if characters.next().is_some() { format!("{start}…") } else { start }
}

fn heart() -> Markup {
    html! { svg.heart viewBox="0 0 16 16" aria-hidden="true" { path d="M8 14 2.2 8.2a3.6 3.6 0 0 1 5.1-5.1l.7.7.7-.7a3.6 3.6 0 0 1 5.1 5.1z" {} } }
}

fn cat() -> Markup {
    html! {
        svg.cat viewBox="0 0 32 32" aria-hidden="true" {
            path d="M5 5l7 5a16 16 0 0 1 8 0l7-5v13a11 9.500 0 0 1-22 0z" {}
            circle.eye cx="11.500" cy="17" r="1.6" {}
            circle.eye cx="20.500" cy="17" r="1.6" {}
            path.mouth d="M13.500 21.500q1.250 1.500 2.500 0q1.250 1.500 2.500 0" {}
        }
    }
}

const STYLE: &str = include_str!("style.css");

/// The cat's head again, as a data URL, so that no browser asks for /favicon.ico.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Cpath fill='%23c8642b' d='M5 5l7 5a16 16 0 0 1 8 0l7-5v13a11 9.5 0 0 1-22 0z'/%3E%3C/svg%3E";

#[cfg(test)]
mod tests;
