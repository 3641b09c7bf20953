//! Databases and the statements that take their time.
use maud::{Markup, html};
use pumasi_status::{Cluster, Digest, Sql, Status};

use super::{Part, bytes, count, figure, routes::invalidation, share_of, state, table, time, traffic_cells, traffic_heads};

pub fn parts(status: &Status) -> Vec<Part> {
    let head = html! {
        th scope="col" { "Database" } th.word scope="col" { "Engine" } th scope="col" { "Sessions" } (traffic_heads())
        th scope="col" { "Reads" } th scope="col" { "Writes" } th scope="col" { "From kept results" }
    };
    let body = html! {
        @for sql in &status.sql {
            tr {
                th scope="row" { (sql.name) @if !sql.address.is_empty() { " " span.aside { (sql.address) } } }
                td.word { (sql.engine) }
                td { (sql.connections) " of " (sql.connections_max) }
                (traffic_cells(&sql.traffic))
                td { (count(sql.reads_total)) }
                td { (count(sql.writes_total)) }
                td { (sql.results.as_ref().map_or("off".into(), |kept| share_of(kept.hits, kept.hits + kept.misses))) }
            }
        }
    };
    let databases =
        html! { (table("Databases", head, body)) @if status.sql.is_empty() { p.quiet { "No database passes through Pumasi." } } };
    let databases = html! { (databases) @for sql in &status.sql { (followed(sql)) } };
    let clusters = html! { @for sql in &status.sql { @if let Some(cluster) = &sql.cluster { (servers(&sql.name, cluster)) } } };
    let pins = html! { @for sql in status.sql.iter().filter(|sql| !sql.pins.is_empty()) { (pins(sql)) } };
    let databases = html! { (databases) (clusters) (pins) };
    let digests = html! { @for sql in &status.sql { (tables(sql)) (digests(sql)) } };
    vec![Part { id: "databases", content: databases }, Part { id: "digests", content: digests }]
}

/// How writes are followed: what makes kept answers right, and what they would miss.
fn followed(sql: &Sql) -> Markup {
    let Some(followed) = &sql.followed else { return html! {} };
    html! {
        p.quiet {
            "Writes to " (sql.name) " are followed " (followed.mode)
            @if let Some(lag) = followed.lag_ms { "; the binary log is " (lag) " ms behind, and " (count(followed.unseen_total)) " transactions in it did not pass through Pumasi" }
            @if followed.surprises_total > 0 { "; " (count(followed.surprises_total)) " commits of unknown outcome emptied the stores" }
            "."
        }
    }
}

/// Why sessions kept a server connection to themselves.
fn pins(sql: &Sql) -> Markup {
    html! {
        h2 { "Connections of " (sql.name) " kept by one session" }
        dl.facts { @for (reason, times) in &sql.pins { (figure(reason, count(*times))) } }
    }
}

/// Who is the primary, who follows, and how far.
fn servers(name: &str, cluster: &Cluster) -> Markup {
    let head = html! {
        th scope="col" { "Server" } th.word scope="col" { "State" } th.word scope="col" { "Role" } th scope="col" { "Applied" } th scope="col" { "Behind" }
    };
    let body = html! {
        @for member in &cluster.members {
            tr {
                th scope="row" { (member.name) @if member.name != member.address { span.below { (member.address) } } }
                td.word { (state(&member.state)) @if let Some(trouble) = &member.trouble { span.below { (trouble) } } @for objection in &member.objections { span.below { (objection) } } }
                td.word { (member.role) @if member.semi_sync { ", semi-synchronous" } }
                td { (member.applied.map_or("-".into(), count)) }
                td {
                    (member.lag_transactions.map_or("–".into(), count))
                    @if let Some(ms) = member.lag_ms.filter(|ms| *ms > 0) { span.below { (time(ms * 1000)) } }
                }
            }
        }
    };
    html! {
        h2 { "Servers of " (name) span.aside { "epoch " (cluster.epoch) ", failover " (cluster.failover) ", reads " (cluster.reads) } }
        (table(&format!("Servers of {name}"), head, body))
        dl.facts {
            (figure("reads by replicas", count(cluster.replica_reads_total)))
            @for (reason, statements) in &cluster.primary_reasons { (figure(&format!("to the primary: {reason}"), count(*statements))) }
        }
        @if let Some(failover) = &cluster.last_failover {
            p { "The latest promotion, from " (failover.from) " to " (failover.to) ", took " (failover.took_ms) " ms: " (failover.reason) "."
                @if failover.lost > 0 { " " (count(failover.lost)) " acknowledged transactions were lost." } }
        }
    }
}

/// What is read and written most. By the names in the statements' texts.
fn tables(sql: &Sql) -> Markup {
    let head = html! {
        th scope="col" { "Table" } th scope="col" { "Reads" } th scope="col" { "Inserts" } th scope="col" { "Updates" }
        th scope="col" { "Deletes" } th scope="col" { "Mean row" } th scope="col" { "Largest row" }
    };
    let size = |of: u64| if of > 0 { bytes(of) } else { "-".to_owned() };
    let body = html! {
        @for used in &sql.tables {
            tr {
                th scope="row" { (used.name) }
                @for number in [used.reads, used.inserts, used.updates, used.deletes] { td { (count(number)) } }
                td { (size(used.row_bytes_mean)) }
                td { (size(used.row_bytes_max)) }
            }
        }
    };
    html! {
        @if !sql.tables.is_empty() {
            h2 { "Tables of " (sql.name) span.aside { "statements since the start that name them" } }
            (table("Tables", head, body))
        }
    }
}

/// One card per statement: a statement is too long for a cell of a table.
fn digests(sql: &Sql) -> Markup {
    let all_us: u64 = sql.digests.iter().map(|digest| digest.total_us).sum();
    html! {
        h2 { "Statements of " (sql.name) span.aside { "most time in total first" } }
        @if sql.digests.is_empty() { p.quiet { "None yet." } }
        ol.digests { @for digest in &sql.digests { li { (card(digest, all_us)) } } }
    }
}

fn card(digest: &Digest, all_us: u64) -> Markup {
    html! {
        pre { code { (digest.text) } }
        dl {
            (figure("of all time", share_of(digest.total_us, all_us)))
            (figure("calls", count(digest.count)))
            (figure("mean", time(digest.total_us / digest.count.max(1))))
            @if digest.p50_us > 0 {
                (figure("half within", time(digest.p50_us)))
                (figure("95 % within", time(digest.p95_us)))
                (figure("99 % within", time(digest.p99_us)))
            }
            (figure("longest", time(digest.max_us)))
            (figure("rows", count(digest.rows)))
            @if digest.hits > 0 { (figure("from kept results", count(digest.hits))) }
            @if digest.errors > 0 { (figure("errors", count(digest.errors))) }
            @if let Some(reason) = &digest.bypass { (figure("results not kept", reason)) }
        }
        @if !digest.invalidations.is_empty() {
            p.quiet { "Kept results were made wrong by" }
            ul.reasons { @for one in &digest.invalidations { (invalidation(one)) } }
        }
    }
}
