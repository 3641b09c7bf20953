//! The effective configuration, with where each value comes from.
use maud::{Markup, html};

use super::{Part, table};
use crate::Shared;

pub fn parts(shared: &Shared) -> Vec<Part> {
    let settings = shared.service.configuration();
    let head = html! { th scope="col" { "Key" } th.word scope="col" { "Value" } th.word scope="col" { "From" } };
    let body = html! {
        @for setting in &settings {
            tr.default[setting.origin == "default"] {
                th scope="row" { code { (setting.path) } }
                td.value { code { (setting.value) } }
                td.word { (setting.origin) }
            }
        }
    };
    let intro = html! { p { "Every value in effect. What nobody wrote is " span.quiet { "set back" } "; passwords are masked." } };
    vec![Part { id: "settings", content: html! { (intro) (table("Settings", head, body)) } }]
}

pub fn form() -> Markup {
    html! {
        h2 { "Reload" }
        form method="post" action="/api/reload" {
            p { "Reads the file again and applies it without dropping a request. If something is wrong with it, nothing changes." }
            button { "Reload" }
        }
    }
}
