//! `pumasi explain`: what the running Pumasi knows of one page, in words.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, anyhow};
use pumasi_status::{Explained, KeptPage, MadeOf, ReadTable, TableTold, WriteTold};

use crate::{
    arguments::RunningArguments,
    ask::{Mistakes, message, places},
    client::{Console, percent_encoded},
    failure::Failure,
    show::print,
    status::duration,
};

pub fn explain(url: &str, running: &RunningArguments, json: bool) -> Result<(), Failure> {
    let console = Console::of_running(&places(running, Mistakes::Overlook)?)?;
    let answer = console.get(&format!("/api/explain?url={}", percent_encoded(url)))?;
    if answer.status != 200 {
        return Err(anyhow!("{}", message(&answer.body)).into());
    }
    if json {
        return print(&format!("{}\n", answer.body.trim_end()));
    }
    let told: Vec<Explained> =
        serde_json::from_str(&answer.body).context("the console's answer is no explanation: is it another version?")?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    print(&told.iter().map(|one| text(one, now_ms)).collect::<Vec<_>>().join("\n"))
}

/// One address, a fact on each line.
fn text(told: &Explained, now_ms: u64) -> String {
    let mut lines = vec![told.url.clone()];
    let mut say = |indent: usize, line: String| lines.push(format!("{}{line}", " ".repeat(indent)));
    match told.route.as_str() {
        "" => say(2, "no route takes it".into()),
        route => say(2, format!("route {route}, pages {}", told.pages)),
    }
    for page in &told.kept {
        kept(page, now_ms, &mut say);
    }
    if told.kept.is_empty() {
        match told.on_disk {
            true => say(2, "not in memory; the disk may have it".into()),
            false => say(2, "not kept".into()),
        }
    }
    if let Some(refused) = &told.refused {
        say(2, format!("last not stored: {}, {}", refused.reason, ago(refused.at_unix_ms, now_ms)));
    }
    if let Some(dropped) = &told.dropped {
        say(2, format!("last dropped: {}, noticed {}", ended(&dropped.why), ago(dropped.at_unix_ms, now_ms)));
        if let Some(write) = &dropped.write {
            wrote(write, now_ms, &mut say);
        }
    }
    if told.kept.is_empty() && told.refused.is_none() && told.dropped.is_none() {
        say(2, "nothing is remembered of it: nobody asked lately, or it left for lack of room".into());
    }
    if let Some(trial) = &told.trial {
        let kind = &trial.kind;
        match trial.barred_until_unix_ms {
            Some(until) => {
                let seconds = until.saturating_sub(now_ms) / 1000;
                say(2, format!("pages like {kind} differed although nothing had changed: not kept for {}", duration(seconds)));
            }
            None if trial.equal < trial.needed => {
                say(2, format!("pages like {kind} are on probation: {} of {} comparisons were equal", trial.equal, trial.needed));
            }
            None => say(2, format!("pages like {kind} are trusted: {} comparisons were equal", trial.equal)),
        }
    }
    if !told.bypasses.is_empty() {
        let reasons: Vec<String> = told.bypasses.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
        say(2, format!("not stored on the whole route: {}", reasons.join(", ")));
    }
    for one in &told.invalidations {
        let when = if one.at_unix_ms > 0 { format!(", last {}", ago(one.at_unix_ms, now_ms)) } else { String::new() };
        say(2, format!("pages of the whole route made wrong by {}: {} times{when}", one.cause(), one.times));
        if let Some(statement) = &one.statement {
            say(4, statement.clone());
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

fn kept(page: &KeptPage, now_ms: u64, say: &mut impl FnMut(usize, String)) {
    let verdict = match page.state.as_str() {
        "clean" => "would be used now".to_owned(),
        "fenced" => "not used at this moment: a write that may concern it is on its way".into(),
        "stale" => "past its lifetime: the next request asks the application whether it still holds".into(),
        state => format!("not used any more: {}", ended(state)),
    };
    say(2, format!("kept: status {}, {} bytes, {} old, {verdict}", page.status, page.bytes, duration(page.age_s)));
    if let Some(write) = &page.write {
        wrote(write, now_ms, say);
    }
    if !page.vary.is_empty() {
        say(4, format!("for requests alike in {}", page.vary.join(", ")));
    }
    match &page.made_of {
        None => say(4, "kept by its headers: what it was made of is not looked at".into()),
        Some(MadeOf { everything: true, stamp, .. }) => say(4, format!("made of so much that every write counts, after write {stamp}")),
        Some(MadeOf { stamp, tables, .. }) => {
            say(4, format!("made after write {stamp} of"));
            for ReadTable { table, rows } in tables {
                let which = match rows {
                    None => "any row".into(),
                    Some(0) => "no row that is known (a condition that nothing meets)".into(),
                    Some(1) => "the rows of 1 value (its hash is all that is known)".into(),
                    Some(count) => format!("the rows of {count} values (their hashes are all that is known)"),
                };
                say(6, format!("{}: {which}", named(table)));
            }
        }
    }
}

fn wrote(write: &WriteTold, now_ms: u64, say: &mut impl FnMut(usize, String)) {
    let met = write.table.as_ref().map_or("everything".into(), named);
    if !write.known {
        return say(4, format!("by write {} to {met}; more is not remembered of it", write.number));
    }
    say(4, format!("by write {} to {met}, {}", write.number, ago(write.at_unix_ms, now_ms)));
    if let Some(table) = write.table.as_ref().filter(|met| !write.tables.iter().any(|table| table.number == met.number)) {
        let tables: Vec<String> = write.tables.iter().map(named).collect();
        say(4, format!("it did not change {} but {}: they share a slot, the page left needlessly", named(table), tables.join(", ")));
    }
    match &write.statement {
        Some(statement) => say(4, statement.clone()),
        None => say(4, "its statement is not known: it did not pass through Pumasi, or is none of rows".into()),
    }
}

fn ended(why: &str) -> &str {
    match why {
        "overtaken" => "a write changed what it was made of",
        "given-up" => "everything stored was given up (a schema change, a failover, a lost connection, or pages that differed)",
        "purged" => "purged, or a request changed this address",
        other => other,
    }
}

fn named(table: &TableTold) -> String {
    match table.names.as_slice() {
        [] => format!("a table that is not known any more (number {})", table.number),
        names => names.join(" or "),
    }
}

fn ago(at_ms: u64, now_ms: u64) -> String {
    format!("{} ago", duration(now_ms.saturating_sub(at_ms) / 1000))
}
