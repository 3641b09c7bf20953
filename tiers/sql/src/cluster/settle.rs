//! Whether statements whose answers were lost have ended.
//!
//! A connection that broke says nothing of the statement that ran on it: it may wait for a lock, work, commit a minute later. Until the
//! server's process list has its thread no more, no replica may answer for its tables: a position of the primary's that was asked for
//! before that does not cover it.
//!
//! A thread that executes is waited for, not killed: it does what its client asked for, and a client without Pumasi that hangs up does not
//! undo its statement either. One that only waits for its client is killed, since that client is us and gone: nobody sends it a commit any
//! more, and its socket may be out of reach of our goodbye for hours.

use std::collections::HashMap;

use super::{
    control::{Control, Failed, Row},
    positions::{Executor, Unsettled},
};

/// ER_NO_SUCH_THREAD: KILL found none.
const NO_SUCH_THREAD: u16 = 1094;

/// Splits statements of unknown outcome into those that have ended and those that the primary, who is `member`, may execute still.
///
/// Errors: the primary did not answer; none of them may be taken for ended.
pub async fn split(control: &mut Control, member: usize, unsettled: &[Unsettled]) -> Result<(Vec<Unsettled>, Vec<Unsettled>), Failed> {
    // What a server does that is not the primary any more does not become part of what the primary has.
    let here = |write: &Unsettled| write.executor.filter(|executor| executor.member == member);
    let (mut over, mut open): (Vec<Unsettled>, Vec<Unsettled>) = unsettled.iter().cloned().partition(|write| here(write).is_none());
    if open.is_empty() {
        return Ok((over, open));
    }
    let threads = Threads::ask(control, open.iter().filter_map(here).map(|executor| executor.id)).await?;
    for write in std::mem::take(&mut open) {
        let Some(executor) = here(&write) else { continue };
        match threads.state(&executor) {
            Thread::Gone => over.push(write),
            Thread::Executes => open.push(write),
            Thread::Waits => {
                // It may have gone by itself meanwhile; looked at again in any case.
                let _ = control.run(&format!("KILL {}", executor.id)).await;
                open.push(write);
            }
            // KILL finds a thread that the process list does not show us.
            Thread::Hidden => match control.run(&format!("KILL {}", executor.id)).await {
                Err(Failed::Refused(error)) if error.code == NO_SUCH_THREAD => over.push(write),
                Err(Failed::Lost(error)) => return Err(Failed::Lost(error)),
                _ => open.push(write),
            },
        }
    }
    Ok((over, open))
}

/// What has become of an executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thread {
    Gone,
    Executes,
    /// For its client's next command.
    Waits,
    /// Of a user whose threads we may not see.
    Hidden,
}

/// The process list, as far as it was asked for.
#[derive(Debug)]
struct Threads {
    /// By the connection's number: the other end's port, if it has one, and whether it executes something.
    seen: HashMap<u32, (Option<u16>, bool)>,
    /// The server sees our connections come from the ports that we see them leave from.
    ports_hold: bool,
    /// We see other users' threads.
    all: bool,
}

impl Threads {
    async fn ask(control: &mut Control, ids: impl Iterator<Item = u32>) -> Result<Threads, Failed> {
        let ids: Vec<String> = ids.map(|id| id.to_string()).collect();
        let rows = control
            .rows(&format!(
                "SELECT ID, HOST, COMMAND, ID = CONNECTION_ID() FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID() OR ID IN ({})",
                ids.join(", ")
            ))
            .await?;
        let granted = control.one("SELECT COUNT(*) FROM information_schema.USER_PRIVILEGES WHERE PRIVILEGE_TYPE = 'PROCESS'").await?;
        Ok(Threads::of(&rows, control.local_port(), granted != "0"))
    }

    fn of(rows: &[Row], own_port: u16, all: bool) -> Threads {
        let mut threads = Threads { seen: HashMap::new(), ports_hold: false, all };
        for row in rows {
            let [Some(id), host, command, own] = &row[..] else { continue };
            let Ok(id) = id.parse() else { continue };
            let port = host.as_deref().and_then(|host| host.rsplit_once(':')).and_then(|(_, port)| port.parse().ok());
            if own.as_deref() == Some("1") {
                threads.ports_hold = port == Some(own_port);
            } else {
                threads.seen.insert(id, (port, command.as_deref() != Some("Sleep")));
            }
        }
        threads
    }

    fn state(&self, executor: &Executor) -> Thread {
        match self.seen.get(&executor.id) {
            None if self.all || executor.ours => Thread::Gone,
            None => Thread::Hidden,
            // After a restart the server gives numbers anew: this one is somebody else's, and ours ended with the server.
            Some((port, _)) if self.ports_hold && *port != Some(executor.port) => Thread::Gone,
            Some((_, true)) => Thread::Executes,
            Some((_, false)) if self.ports_hold => Thread::Waits,
            // Behind an address translation nobody can tell whose it is: it is waited for, and not killed.
            Some((_, false)) => Thread::Executes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u32, host: &str, command: &str, own: bool) -> Row {
        [id.to_string(), host.to_owned(), command.to_owned(), u8::from(own).to_string()].map(Some).into()
    }

    const EXECUTOR: Executor = Executor { member: 0, id: 7, port: 40_007, ours: true };

    fn check(rows: &[Row], all: bool, executor: Executor, state: Thread) {
        assert_eq!(Threads::of(rows, 40_001, all).state(&executor), state, "{rows:?} {executor:?}");
    }

    #[test]
    fn a_statement_has_ended_when_its_thread_is_gone() {
        let own = row(3, "10.0.0.1:40001", "Query", true);
        check(std::slice::from_ref(&own), true, EXECUTOR, Thread::Gone);
        check(&[own.clone(), row(7, "10.0.0.1:40007", "Query", false)], true, EXECUTOR, Thread::Executes);
        check(&[own.clone(), row(7, "10.0.0.1:40007", "Killed", false)], true, EXECUTOR, Thread::Executes);
        check(&[own.clone(), row(7, "10.0.0.1:40007", "Sleep", false)], true, EXECUTOR, Thread::Waits);
        check(
            &[own.clone(), row(7, "10.0.0.9:40007", "Query", false), row(8, "10.0.0.1:1", "Query", false)],
            true,
            EXECUTOR,
            Thread::Executes,
        );
        check(&[own, row(7, "10.0.0.1:52000", "Query", false)], true, EXECUTOR, Thread::Gone);
    }

    #[test]
    fn ports_say_nothing_behind_an_address_translation() {
        let own = row(3, "10.0.0.1:61000", "Query", true);
        check(&[own.clone(), row(7, "10.0.0.1:61007", "Sleep", false)], true, EXECUTOR, Thread::Executes);
        check(&[own], true, EXECUTOR, Thread::Gone);
    }

    #[test]
    fn a_thread_that_may_be_hidden_is_not_taken_for_gone() {
        let own = row(3, "10.0.0.1:40001", "Query", true);
        check(std::slice::from_ref(&own), false, EXECUTOR, Thread::Gone);
        check(&[own], false, Executor { ours: false, ..EXECUTOR }, Thread::Hidden);
    }
}
