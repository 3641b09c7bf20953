//! `pumasi sql`: the servers behind the databases of a running Pumasi.

use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

use anyhow::{Context, anyhow};
use pumasi_status::{Cluster, Digest};

use crate::{
    arguments::{SqlOrderArguments, SqlVerb},
    ask::{Mistakes, current, message, places},
    client::Console,
    failure::Failure,
    show::print,
    status::microseconds,
};

/// Columns of a statement's text that are shown; the rest is in `--json`.
const TEXT_COLUMNS: usize = 60;

pub fn sql(verb: &SqlVerb) -> Result<(), Failure> {
    let on = |yes: bool| yes.then_some("1");
    match verb {
        SqlVerb::Status { json, running } => {
            let status = current(&Console::of_running(&places(running, Mistakes::Overlook)?)?)?;
            let clusters: Vec<(&str, &Cluster)> = status.sql.iter().filter_map(|sql| Some((&*sql.name, sql.cluster.as_ref()?))).collect();
            if *json {
                let named: serde_json::Map<String, serde_json::Value> = clusters
                    .iter()
                    .map(|(name, cluster)| Ok(((*name).to_owned(), serde_json::to_value(cluster)?)))
                    .collect::<Result<_, serde_json::Error>>()
                    .context("cannot write the servers as JSON")?;
                return print(&format!("{}\n", serde_json::Value::Object(named)));
            }
            if clusters.is_empty() {
                return print("No database here has servers: the embedded engine is one.\n");
            }
            print(&clusters.iter().map(|(name, cluster)| format!("sql {name}\n{}", servers(cluster))).collect::<String>())
        }
        SqlVerb::Statements { json, running } => {
            let status = current(&Console::of_running(&places(running, Mistakes::Overlook)?)?)?;
            if *json {
                let named: std::collections::BTreeMap<&str, &[Digest]> =
                    status.sql.iter().map(|sql| (&*sql.name, sql.digests.as_slice())).collect();
                return print(&format!("{}\n", serde_json::to_string(&named).context("cannot write the statements as JSON")?));
            }
            print(&status.sql.iter().map(|sql| format!("sql {}\n{}", sql.name, statements(&sql.digests))).collect::<String>())
        }
        SqlVerb::Promote { member, accept_loss, order } => {
            change("promote", &[("member", member.as_deref()), ("accept_loss", on(*accept_loss))], order)
        }
        SqlVerb::Drain { member, undo, order } => change(if *undo { "undrain" } else { "drain" }, &[("member", Some(member))], order),
        SqlVerb::Rejoin { member, rebuild, order } => change("rejoin", &[("member", Some(member)), ("rebuild", on(*rebuild))], order),
    }
}

/// Has it done and tells what was done; exit code 1 with the reason if it was not.
fn change(what: &str, fields: &[(&str, Option<&str>)], order: &SqlOrderArguments) -> Result<(), Failure> {
    let fields = fields.iter().copied().chain([("database", order.database.as_deref())]);
    let form: Vec<(&str, &str)> = fields.filter_map(|(name, value)| Some((name, value?))).collect();
    let answer = Console::of_running(&places(&order.running, Mistakes::Overlook)?)?.post(&format!("/api/sql/{what}"), &form)?;
    if order.json {
        print(&format!("{}\n", answer.body.trim_end()))?;
    }
    match answer.status {
        200 if order.json => Ok(()),
        200 => {
            eprintln!("{}", message(&answer.body));
            Ok(())
        }
        _ => Err(anyhow!("{}", message(&answer.body)).into()),
    }
}

/// Lines of at most 131 columns, the statement that took most time first.
fn statements(digests: &[Digest]) -> String {
    if digests.is_empty() {
        return "      no statement yet\n".to_owned();
    }
    let mut out =
        format!("      {:>9} {:>7} {:>8} {:>8} {:>8} {:>8} {:>9}  statement\n", "count", "errors", "p50", "p95", "p99", "max", "rows");
    for digest in digests {
        let [p50, p95, p99, max] = [digest.p50_us, digest.p95_us, digest.p99_us, digest.max_us].map(microseconds);
        let text: String = digest.text.chars().take(TEXT_COLUMNS).collect();
        let (count, errors, rows) = (digest.count, digest.errors, digest.rows);
        let _ = writeln!(out, "      {count:>9} {errors:>7} {p50:>8} {p95:>8} {p99:>8} {max:>8} {rows:>9}  {text}");
    }
    out
}

/// Lines of at most about 100 columns, indented as in `pumasi status`.
pub fn servers(cluster: &Cluster) -> String {
    let mut out = format!(
        "      epoch {}, primary {}, failover {}, reads {}; replicas answered {} reads\n",
        cluster.epoch,
        cluster.primary.as_deref().unwrap_or("none"),
        cluster.failover,
        cluster.reads,
        cluster.replica_reads_total
    );
    for member in &cluster.members {
        let _ = write!(out, "      {:<10} {:<21} {:<8} {:<13}", member.name, member.address, member.role, member.state);
        if let (Some(applied), Some(lag)) = (member.applied, member.lag_transactions) {
            let _ = write!(out, " applied {applied}, {lag} behind");
        }
        if member.role == "primary" {
            let _ = write!(out, " acknowledged {}{}", cluster.acknowledged, if member.semi_sync { ", semi-synchronous" } else { "" });
        }
        out.push('\n');
        if let Some(trouble) = &member.trouble {
            let _ = writeln!(out, "        {trouble}");
        }
        for objection in &member.objections {
            let _ = writeln!(out, "        {objection}");
        }
    }
    if let Some(notice) = &cluster.notice {
        let _ = writeln!(out, "      {notice}");
    }
    if let Some(failover) = &cluster.last_failover {
        let ago = SystemTime::UNIX_EPOCH + Duration::from_millis(failover.at_unix_ms);
        let ago = SystemTime::now().duration_since(ago).map_or(0, |ago| ago.as_secs());
        let lost = if failover.lost > 0 { format!(", {} acknowledged transactions lost", failover.lost) } else { String::new() };
        let _ = writeln!(
            out,
            "      last promotion {ago} s ago, {} to {} in {} ms{lost}: {}",
            failover.from, failover.to, failover.took_ms, failover.reason
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_are_shown_with_their_percentiles() {
        let digest = Digest {
            text: format!("SELECT {}", "x".repeat(100)),
            count: 1200,
            errors: 3,
            max_us: 2_500_000,
            rows: 7,
            p50_us: 140,
            p95_us: 2_300,
            p99_us: 45_000,
            ..Digest::default()
        };
        let shown = statements(std::slice::from_ref(&digest));
        let line = shown.lines().nth(1).expect("a line below the heads");
        assert!(line.starts_with("           1200       3   140 us   2.3 ms  45.0 ms    2.5 s         7  SELECT xxx"), "{shown}");
        assert!(shown.lines().all(|line| line.len() <= 131), "{shown}");
        assert_eq!(statements(&[]), "      no statement yet\n");
    }
}
