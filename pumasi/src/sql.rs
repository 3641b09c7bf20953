//! `pumasi sql`: the servers behind the databases of a running Pumasi.

use std::{
    fmt::Write,
    time::{Duration, SystemTime},
};

use anyhow::{Context, anyhow};
use pumasi_status::Cluster;

use crate::{
    arguments::{SqlOrderArguments, SqlVerb},
    ask::{Mistakes, current, message, places},
    client::Console,
    failure::Failure,
    show::print,
};

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
