//! Traffic by route, and why pages are not kept.
use maud::{Markup, html};
use pumasi_status::{Invalidation, Route, Status};

use super::{Part, bytes, count, events::utc, share_of, table, time, traffic_cells, traffic_heads};

pub fn parts(status: &Status) -> Vec<Part> {
    let head = html! {
        th scope="col" { "Route" } th.word scope="col" { "Pool" } th.word scope="col" { "Pages" } (traffic_heads())
        th scope="col" { "Requests" } th scope="col" { "Kept" } th scope="col" { "Stale" }
    };
    let body = html! {
        @for route in &status.edge.routes {
            tr {
                th scope="row" { (route.route) }
                td.word { (route.pool) }
                td.word { (route.pages) }
                (traffic_cells(&route.traffic))
                td { (count(route.traffic.requests_total)) }
                td { (share_of(route.hits, route.hits + route.misses)) }
                td { (count(route.stale)) }
            }
        }
    };
    let bypasses = html! {
        @for route in status.edge.routes.iter().filter(|route| !route.bypasses.is_empty()) {
            h2 { "Not kept on " (route.route) }
            ul.reasons {
                @for (reason, times) in &route.bypasses {
                    li {
                        (reason) ": " strong { (count(*times)) } " (" (share_of(*times, route.traffic.requests_total)) " of its requests)"
                        @if let Some(meaning) = meaning(reason) { span.below { (meaning) } }
                    }
                }
            }
        }
    };
    let answers = html! { @for route in &status.edge.routes { (answers_row(route)) } };
    let invalidations = html! {
        @for route in status.edge.routes.iter().filter(|route| !route.invalidations.is_empty()) {
            h2 { "What makes kept pages wrong on " (route.route) }
            ul.reasons { @for one in &route.invalidations { (invalidation(one)) } }
        }
    };
    let quiet = html! { @if status.edge.routes.is_empty() { p.quiet { "No route is configured." } } };
    vec![
        Part { id: "routes", content: html! { (table("Routes", head, body)) (quiet) } },
        Part {
            id: "answers",
            content: html! { @if !status.edge.routes.is_empty() { h2 { "Answers" } (table("Answers by route", answers_head(), answers)) } },
        },
        Part { id: "bypasses", content: bypasses },
        Part { id: "invalidations", content: invalidations },
        Part { id: "differences", content: differences(status) },
    ]
}

fn answers_head() -> Markup {
    html! {
        th scope="col" { "Route" } th scope="col" { "2xx" } th scope="col" { "3xx" } th scope="col" { "4xx" } th scope="col" { "5xx" }
        th scope="col" { "Clients left" } th scope="col" { "Received" } th scope="col" { "Sent" }
        th scope="col" { "Queue p95" } th scope="col" { "First byte p50" } th scope="col" { "First byte p95" }
    }
}

/// What was answered since the start, and what the last ten seconds' requests waited for on their way.
fn answers_row(route: &Route) -> Markup {
    let lately = |us: u64| if us > 0 { time(us) } else { "–".to_owned() };
    html! {
        tr {
            th scope="row" { (route.route) }
            td { (count(route.status_2xx)) }
            td { (count(route.status_3xx)) }
            td { (count(route.status_4xx)) }
            td.failing[route.status_5xx > 0] { (count(route.status_5xx)) }
            td { (count(route.clients_left)) }
            td { (bytes(route.bytes_in)) }
            td { (bytes(route.bytes_out)) }
            td { (lately(route.queue_us_p95)) }
            td { (lately(route.first_byte_us_p50)) }
            td { (lately(route.first_byte_us_p95)) }
        }
    }
}

/// One line of what made kept answers wrong, with the last write that did.
pub(super) fn invalidation(one: &Invalidation) -> Markup {
    html! {
        li {
            (one.cause()) ": " strong { (count(one.times)) } " times"
            @if one.at_unix_ms > 0 { span.aside { "last " (utc(one.at_unix_ms)) " UTC" } }
            @if let Some(statement) = &one.statement { span.below { code { (statement) } } }
        }
    }
}

/// Why kinds of pages are not trusted any more: two answers side by side, newest first.
fn differences(status: &Status) -> Markup {
    html! {
        @if !status.edge.differences.is_empty() {
            h2 { "Pages that differed" }
            p { "Nothing they were made of had changed in the database, so they are made of something else as well, and are not kept." }
            ul.differences {
                @for difference in status.edge.differences.iter().rev() {
                    li {
                        strong { (difference.kind) }
                        span.aside { (utc(difference.at_unix_ms)) " UTC, from byte " (difference.offset) }
                        pre { del { (difference.before) } "\n" ins { (difference.after) } }
                    }
                }
            }
        }
    }
}

/// What the word of a reason stands for; none for one that is not known here.
pub(super) fn meaning(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "method" => "neither GET nor HEAD: not a page",
        "request-no-store" => "the client asked for an answer that nobody keeps",
        "precondition" => "the client asked the application to decide (If-Match, If-Unmodified-Since)",
        "upgrade" => "the connection became something else, such as a WebSocket",
        "content" => "a GET with content, which no stored page is found by",
        "range" => "a part was asked for of which nobody has the whole",
        "no-store" => "the application forbids it: Cache-Control: no-store",
        "private" => "the application says it is for one person: Cache-Control: private",
        "authorization" => "the client signed in by Authorization, and the application does not say that others may have it",
        "vary-all" => "the application says that it depends on everything: Vary: *",
        "vary-too-long" => "Vary names more than the store follows",
        "no-freshness" => "nothing says how long it holds",
        "status" => "its status is none that is kept",
        "partial" => "a part of something",
        "set-cookie" => "it sets a cookie, which is one person's",
        "too-large" => "larger than edge.pages.object_max",
        "incomplete" => "it ended before its announced end",
        "trailers" => "trailers follow its content",
        "no-room" => "the store is full of pages that are being read",
        "off" => "pages are off on this route",
        "personal" => "the request had a cookie, so the page may be one person's",
        "not-provable" => "a statement behind it is not understood, or does not depend on rows alone",
        "wrote" => "something was written while it was made",
        "nothing-read" => "no statement went through Pumasi while it was made, so nothing says when it changes",
        "probation" => "pages of a new kind are compared before others get them: this ends by itself",
        "demoted" => "two answers differed although nothing had changed that they were made of",
        "overtaken" => "what it was made of was written to meanwhile",
        "handed-over" => "a new process has taken over (an upgrade), and only that one uses a store",
        _ => return None,
    })
}
