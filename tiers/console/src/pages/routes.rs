//! Traffic by route, and why pages are not kept.
use maud::{Markup, html};
use pumasi_status::Status;

use super::{Part, count, events::utc, share_of, table, traffic_cells, traffic_heads};

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
                    li { (reason) ": " strong { (count(*times)) } " (" (share_of(*times, route.traffic.requests_total)) " of its requests)" }
                }
            }
        }
    };
    let quiet = html! { @if status.edge.routes.is_empty() { p.quiet { "No route is configured." } } };
    vec![
        Part { id: "routes", content: html! { (table("Routes", head, body)) (quiet) } },
        Part { id: "bypasses", content: bypasses },
        Part { id: "differences", content: differences(status) },
    ]
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
