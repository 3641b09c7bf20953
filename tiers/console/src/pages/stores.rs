//! Pages and results that are kept: how full, how useful.
use maud::{Markup, html};
use pumasi_status::{DiskStore, Status, Store};

use super::{Part, bytes, count, figure, share_of, table};

pub fn parts(status: &Status) -> Vec<Part> {
    let pages = status.edge.pages.as_ref().map(|pages| ("Pages".to_owned(), pages));
    let results = status.sql.iter().filter_map(|sql| Some((format!("Results of {}", sql.name), sql.results.as_ref()?)));
    let stores: Vec<_> = pages.into_iter().chain(results).collect();
    let head = html! {
        th scope="col" { "Store" } th scope="col" { "Entries" } th scope="col" { "Memory" } th scope="col" { "Budget" } th scope="col" { "Full" }
        th scope="col" { "Hits" } th scope="col" { "Misses" } th scope="col" { "Hit share" } th scope="col" { "Invalidated" } th scope="col" { "Evicted" }
    };
    let body = html! { @for (name, store) in &stores { (row(name, store)) } };
    let off = html! {
        @if stores.is_empty() {
            p.quiet { "Nothing is kept. " code { "pages = \"automatic\"" } " on a route and " code { "results = \"automatic\"" } " on a database turn it on." }
        }
    };
    let disk = html! { @if let Some(disk) = &status.edge.pages_disk { (on_disk(disk)) } };
    vec![Part { id: "stores", content: html! { (table("Stores", head, body)) (off) (disk) } }]
}

/// Where pages go that memory has no room for.
fn on_disk(disk: &DiskStore) -> Markup {
    html! {
        h2 { "Pages on disk" }
        dl.facts {
            (figure("pages", count(disk.entries)))
            (figure("used", format!("{} of {}", bytes(disk.bytes), bytes(disk.bytes_max))))
            (figure("read back", count(disk.hits)))
            (figure("failed reads and writes", count(disk.errors)))
            (figure("not what was written", count(disk.corrupt)))
        }
    }
}

fn row(name: &str, store: &Store) -> Markup {
    html! {
        tr {
            th scope="row" { (name) }
            td { (count(store.entries)) }
            td { (bytes(store.bytes)) }
            td { (bytes(store.bytes_max)) }
            td { meter min="0" max="1" value=(store.bytes as f64 / store.bytes_max.max(1) as f64) { (share_of(store.bytes, store.bytes_max)) } }
            td { (count(store.hits)) }
            td { (count(store.misses)) }
            td { (share_of(store.hits, store.hits + store.misses)) }
            td { (count(store.invalidated)) }
            td { (count(store.evicted)) }
        }
    }
}

pub fn form() -> Markup {
    html! {
        h2 { "Purge" }
        form.narrow method="post" action="/api/purge" {
            label for="path" { "Drop kept pages whose path begins with" }
            input #path name="path" value="/" required pattern="/.*";
            button { "Purge" }
        }
    }
}
