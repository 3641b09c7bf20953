//! What an old process becomes once its successor serves: a placeholder under the number that a shell, a service manager or a container
//! knows. It passes signals on and ends as the process in charge ends.
//!
//! A successor that is succeeded in turn ends with [`HANDED_OVER`], and its own successor becomes the placeholder's child
//! (PR_SET_CHILD_SUBREAPER, prctl(2)): however many upgrades there were, there is one placeholder.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, set_child_subreaper, wait};
use tokio::signal::unix::{SignalKind, signal};

use super::Program;
use crate::state::StateDirectory;

/// The hidden first argument.
pub const SUBCOMMAND: &str = "stand-in";

/// The exit code of a successor that was succeeded. Not one of the manual's: only a placeholder sees it.
pub const HANDED_OVER: u8 = 86;

/// What a shell reports for a program that a signal ended: this and the signal's number.
const SIGNALLED: i32 = 128;

/// Replaces this process by a placeholder for `successor`. Returns only if that fails.
pub fn become_one(successor: u32, state: &Path) -> std::io::Error {
    let program = Program::of_this_process();
    Command::new(program.path).arg(SUBCOMMAND).arg(successor.to_string()).arg(state).exec()
}

/// Runs as a placeholder; `arguments` are those behind the subcommand.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let successor = arguments.first().and_then(|number| number.to_str()?.parse().ok()).and_then(Pid::from_raw);
    let (Some(successor), Some(state)) = (successor, arguments.get(1)) else {
        eprintln!("pumasi {SUBCOMMAND} is what an upgraded Pumasi becomes by itself; there is nothing to start.");
        return ExitCode::from(2);
    };
    match stand_in(successor, &PathBuf::from(state)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("pumasi: the placeholder of process {} cannot go on: {error}", successor.as_raw_nonzero());
            ExitCode::FAILURE
        }
    }
}

fn stand_in(mut in_charge: Pid, state: &Path) -> std::io::Result<ExitCode> {
    set_child_subreaper(Some(getpid()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut passed_on = [
            (signal(SignalKind::terminate())?, Signal::TERM),
            (signal(SignalKind::interrupt())?, Signal::INT),
            (signal(SignalKind::hangup())?, Signal::HUP),
            (signal(SignalKind::user_defined2())?, Signal::USR2),
        ];
        let mut child = signal(SignalKind::child())?;
        loop {
            // Before waiting: a child may have ended before the signal was listened for.
            if let Some(code) = reap(&mut in_charge, state) {
                return Ok(code);
            }
            let [term, int, hup, usr2] = &mut passed_on;
            let came = tokio::select! {
                _ = child.recv() => continue,
                _ = term.0.recv() => term.1,
                _ = int.0.recv() => int.1,
                _ = hup.0.recv() => hup.1,
                _ = usr2.0.recv() => usr2.1,
            };
            let _ = kill_process(in_charge, came); // gone: the next look finds out how
        }
    })
}

/// Takes note of every child that has ended. The exit code, if the one in charge did.
fn reap(in_charge: &mut Pid, state: &Path) -> Option<ExitCode> {
    while let Ok(Some((ended, status))) = wait(WaitOptions::NOHANG) {
        if ended != *in_charge {
            continue; // an orphan of an earlier one
        }
        let next = StateDirectory::running(state).and_then(|running| Pid::from_raw(i32::try_from(running.process).ok()?));
        match next.filter(|next| status.exit_status() == Some(HANDED_OVER.into()) && *next != ended) {
            Some(next) => *in_charge = next,
            None => return Some(code_of(status)),
        }
    }
    None
}

fn code_of(status: WaitStatus) -> ExitCode {
    let code = status.exit_status().or(status.terminating_signal().map(|signal| SIGNALLED + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
