//! What of a server's settings takes something away from reads or failover. Of servers that run elsewhere; ours are started with the right ones.

use std::{collections::HashMap, time::Duration};

use super::control::{Control, Failed};

/// A setting, on whom it matters, what it should be, and what is lost otherwise.
struct Wanted {
    name: &'static str,
    of: Of,
    value: &'static str,
    otherwise: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// Each may become the primary.
    All,
    Primary,
    Replicas,
}

const WANTED: [Wanted; 10] = [
    Wanted { name: "log_bin", of: Of::All, value: "ON", otherwise: "nobody could follow it as the primary" },
    Wanted { name: "log_slave_updates", of: Of::All, value: "ON", otherwise: "as the primary it would lack what it had received" },
    Wanted { name: "binlog_format", of: Of::All, value: "ROW", otherwise: "a statement may come out differently on a replica" },
    Wanted { name: "gtid_strict_mode", of: Of::All, value: "ON", otherwise: "a transaction of its own would go unnoticed" },
    Wanted { name: "sync_binlog", of: Of::All, value: "1", otherwise: "commits that were acknowledged may be lost when its machine dies" },
    Wanted {
        name: "innodb_flush_log_at_trx_commit",
        of: Of::All,
        value: "1",
        otherwise: "commits that were acknowledged may be lost when its machine dies",
    },
    Wanted { name: "read_only", of: Of::Replicas, value: "ON", otherwise: "whoever connects to it may write what the primary lacks" },
    Wanted {
        name: "rpl_semi_sync_slave_enabled",
        of: Of::Replicas,
        value: "ON",
        otherwise: "it does not tell the primary what it has received",
    },
    Wanted {
        name: "rpl_semi_sync_master_enabled",
        of: Of::Primary,
        value: "ON",
        otherwise: "it acknowledges commits that no replica has, and they are lost with it",
    },
    Wanted {
        name: "rpl_semi_sync_master_wait_point",
        of: Of::Primary,
        value: "AFTER_SYNC",
        otherwise: "it shows commits that no replica has",
    },
];

/// A replica that notices later that its primary is gone holds up the failover by so much.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is wrong with a server's settings, as sentences; empty if nothing is.
pub async fn check(control: &mut Control, primary: bool) -> Result<Vec<String>, Failed> {
    let names: Vec<String> = WANTED.iter().map(|wanted| format!("'{}'", wanted.name)).collect();
    let rows = control
        .rows(&format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({}, 'slave_net_timeout', 'version')", names.join(", ")))
        .await?;
    let found = rows.into_iter().filter_map(|row| match &row[..] {
        [Some(name), Some(value)] => Some((name.to_ascii_lowercase(), value.clone())),
        _ => None,
    });
    Ok(objections(&found.collect(), primary))
}

fn objections(found: &HashMap<String, String>, primary: bool) -> Vec<String> {
    if !found.get("version").is_some_and(|version| version.contains("MariaDB")) {
        return vec!["it is no MariaDB: its positions are not understood, so it is not read from and not promoted".to_owned()];
    }
    let concerned = |of| match of {
        Of::All => true,
        Of::Primary => primary,
        Of::Replicas => !primary,
    };
    let mut objections: Vec<String> = WANTED
        .iter()
        .filter(|wanted| concerned(wanted.of))
        .filter_map(|wanted| {
            let Wanted { name, value, otherwise, .. } = wanted;
            let is = found.get(*name)?;
            (!is.eq_ignore_ascii_case(value)).then(|| format!("{name} is {is} and should be {value}: {otherwise}"))
        })
        .collect();
    let notices = found.get("slave_net_timeout").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    if let Some(notices) = notices.filter(|notices| *notices > NOTICE_TIMEOUT) {
        let (is, most) = (notices.as_secs(), NOTICE_TIMEOUT.as_secs());
        objections.push(format!("slave_net_timeout is {is} and should be {most} or less: so long a dead primary is not replaced"));
    }
    objections
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server as the manual asks for, with one thing changed.
    fn with(name: &str, value: &str) -> HashMap<String, String> {
        let mut found: HashMap<String, String> = WANTED.iter().map(|wanted| (wanted.name.to_owned(), wanted.value.to_owned())).collect();
        found.insert("slave_net_timeout".into(), "2".into());
        found.insert("version".into(), "10.11.19-MariaDB-log".into());
        found.insert(name.to_owned(), value.to_owned());
        found
    }

    #[test]
    fn what_takes_something_away_is_said() {
        for (name, value, as_primary, as_replica) in [
            ("version", "10.11.19-MariaDB", false, false),
            ("log_bin", "OFF", true, true),
            ("binlog_format", "MIXED", true, true),
            ("gtid_strict_mode", "OFF", true, true),
            ("sync_binlog", "0", true, true),
            ("read_only", "OFF", false, true),
            ("rpl_semi_sync_slave_enabled", "OFF", false, true),
            ("rpl_semi_sync_master_enabled", "OFF", true, false),
            ("rpl_semi_sync_master_wait_point", "AFTER_COMMIT", true, false),
            ("slave_net_timeout", "60", true, true),
            ("version", "8.0.36", true, true),
        ] {
            let said = |primary| !objections(&with(name, value), primary).is_empty();
            assert_eq!((said(true), said(false)), (as_primary, as_replica), "{name} = {value}");
        }
        assert_eq!(
            objections(&with("gtid_strict_mode", "OFF"), false),
            ["gtid_strict_mode is OFF and should be ON: a transaction of its own would go unnoticed"]
        );
    }
}
