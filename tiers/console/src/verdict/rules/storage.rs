//! Rules about servers behind a database, and about pages on disk.
use pumasi_status::{Member, Sql};

use super::Found;
use crate::verdict::{Comparison, Level, Place, Verdict};

pub fn nobody_can_be_written_to(c: &Comparison) -> Found {
    let say = |sql: &Sql| {
        let cluster = sql.cluster.as_ref().filter(|cluster| cluster.primary.is_none() && !cluster.members.is_empty())?;
        let states: Vec<String> = cluster.members.iter().map(|member| format!("{} is {}", member.name, member.state)).collect();
        let advice = match cluster.failover.as_str() {
            "manual" => "`pumasi sql promote` makes one of the replicas the primary.",
            _ => "A replica is promoted as soon as it is sure that nothing acknowledged is lost; the events say what is missing.",
        };
        let verdict = Verdict {
            level: Level::Act,
            rule: "no_primary",
            sentence: format!("Database {} has no primary, so nothing can be written: {}.", sql.name, states.join(", ")),
            quote: None,
            advice: advice.into(),
            page: "/sql",
        };
        Some((verdict, Some(Place::Sql(sql.name.clone()))))
    };
    c.now.sql.iter().filter_map(say).collect()
}

/// Out of use since both pictures, so that a restart is no finding. One that somebody drained is where he wants it.
pub fn a_replica_is_not_used(c: &Comparison) -> Found {
    let away = |member: &&Member| member.role == "replica" && matches!(member.state.as_str(), "not following" | "unreachable");
    let mut found = Vec::new();
    for sql in &c.now.sql {
        let before = c.before.sql.iter().find(|then| then.name == sql.name).and_then(|then| then.cluster.as_ref());
        let was_away = |name: &str| before.is_some_and(|cluster| cluster.members.iter().any(|then| then.name == name && away(&then)));
        for member in sql.cluster.iter().flat_map(|cluster| &cluster.members).filter(away).filter(|member| was_away(&member.name)) {
            let verdict = Verdict {
                level: Level::Look,
                rule: "replica_away",
                sentence: format!("Replica {} of {} is {}; the others do its work.", member.name, sql.name, member.state),
                quote: member.trouble.clone(),
                advice: format!(
                    "When its trouble is mended it follows again by itself; `pumasi sql rejoin {}` builds it anew.",
                    member.name
                ),
                page: "/sql",
            };
            found.push((verdict, None));
        }
    }
    found
}

pub fn pages_on_disk_fail(c: &Comparison) -> Found {
    let (Some(now), Some(before)) = (&c.now.edge.pages_disk, &c.before.edge.pages_disk) else { return Vec::new() };
    let failed = (now.errors + now.corrupt).saturating_sub(before.errors + before.corrupt);
    if failed == 0 {
        return Vec::new();
    }
    let verdict = Verdict {
        level: Level::Look,
        rule: "disk_store_fails",
        sentence: format!("The disk under the kept pages failed {failed} times in the last {:.0} seconds.", c.seconds),
        quote: None,
        advice: "No answer was wrong: what cannot be read is fetched again. Look at the disk and its space.".into(),
        page: "/stores",
    };
    vec![(verdict, None)]
}
