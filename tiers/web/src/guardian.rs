//! The process between Pumasi and a worker: it ends the worker's whole family when Pumasi is gone, however it went.
//!
//! Pumasi holds the write end of the guardian's standard input, the *lifeline*; the kernel closes it when Pumasi dies, also by `kill -9`.
//! The guardian is the family's subreaper (prctl(2) PR_SET_CHILD_SUBREAPER), so that grandchildren whose parent has died are still
//! its own and can be found and ended. The worker itself asks to be killed when its guardian dies (PR_SET_PDEATHSIG), before it
//! becomes the application by `exec`.
//!
//! Rejected: a process group alone (whoever calls setsid leaves it) and PR_SET_PDEATHSIG alone (it reaches one generation only).
//!
//! Lifeline: `t` sends TERM to the worker's process group, `k` kills the family, end of input is TERM, two seconds, then KILL.
use std::{
    collections::BTreeMap,
    io::Read,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Command, ExitCode, ExitStatus},
    time::Duration,
};

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};

use crate::process::OWN_PROGRAM;

/// From TERM to KILL when Pumasi is gone: long enough for an application to close its database connections.
const ORPHAN_GRACE: Duration = Duration::from_secs(2);

/// The hidden subcommand under which the binary calls [`main`].
pub const SUBCOMMAND: &str = "worker-guardian";

pub(crate) const TERMINATE: u8 = b't';
pub(crate) const KILL: u8 = b'k';

/// Marks the second step: the process that becomes the worker.
const BECOME: &str = "--become-child-of";

/// The hidden subcommand: `COMMAND ARGUMENT...` is the worker. Ends with the worker's own exit code, 128 + N if signal N ended it.
///
/// Call it before anything else has started a thread: the worker's death signal follows the thread that started it.
pub fn main(arguments: &[String]) -> ExitCode {
    match arguments {
        [flag, guardian, command @ ..] if flag == BECOME => become_worker(guardian, command),
        command => guard(command),
    }
}

fn guard(command: &[String]) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(guard_worker(command)).unwrap_or_else(|error| {
            eprintln!("pumasi: cannot guard a worker: {error}");
            ExitCode::FAILURE
        }),
        Err(error) => {
            eprintln!("pumasi: cannot guard a worker: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn guard_worker(command: &[String]) -> std::io::Result<ExitCode> {
    // A session of our own: the terminal's Ctrl-C reaches Pumasi, which drains, and not the workers behind its back.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    let mut children = signal(SignalKind::child())?;
    let mut asked = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?, signal(SignalKind::hangup())?];
    let mut lifeline = lifeline();
    let us = rustix::process::getpid().as_raw_nonzero().to_string();
    let worker = Command::new(OWN_PROGRAM).arg(SUBCOMMAND).args([BECOME, &us]).args(command).stdin(std::process::Stdio::null()).spawn()?;
    let worker = Pid::from_raw(worker.id() as i32).expect("a process has a number");
    let mut kill_at: Option<Instant> = None;
    loop {
        if let Some(status) = reap(worker) {
            end_family();
            return Ok(code_of(status));
        }
        let [terminate, interrupt, hangup] = &mut asked;
        tokio::select! {
            _ = children.recv() => {}
            _ = terminate.recv() => tell(worker, Signal::TERM),
            _ = interrupt.recv() => tell(worker, Signal::TERM),
            _ = hangup.recv() => tell(worker, Signal::TERM),
            word = lifeline.recv() => match word {
                Some(TERMINATE) => tell(worker, Signal::TERM),
                Some(KILL) => kill_family(),
                Some(_) => {}
                None if kill_at.is_none() => {
                    tell(worker, Signal::TERM);
                    kill_at = Some(Instant::now() + ORPHAN_GRACE);
                }
                // A closed channel answers at once: from here on only the worker's end and the deadline are waited for.
                None => tokio::select! {
                    _ = children.recv() => {}
                    () = tokio::time::sleep_until(kill_at.unwrap_or_else(Instant::now)) => {
                        kill_family();
                        kill_at = Some(Instant::now() + ORPHAN_GRACE);
                    }
                },
            },
        }
    }
}

/// The bytes Pumasi sends; the channel closes when Pumasi is gone.
fn lifeline() -> mpsc::UnboundedReceiver<u8> {
    let (words, heard) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let mut word = [0];
        while let Ok(1) = std::io::stdin().read(&mut word) {
            if words.send(word[0]).is_err() {
                return;
            }
        }
    });
    heard
}

/// Takes every child that has ended (orphans of the family included); the worker's status if it was among them.
fn reap(worker: Pid) -> Option<ExitStatus> {
    let mut ended = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid == worker {
            ended = Some(ExitStatus::from_raw(status.as_raw()));
        }
    }
    ended
}

fn tell(worker: Pid, signal: Signal) {
    // The worker leads a group of its own name. Not there yet or no more: nothing to tell.
    let _ = rustix::process::kill_process_group(worker, signal).or_else(|_| rustix::process::kill_process(worker, signal));
}

/// KILL to every descendant, once.
fn kill_family() {
    for pid in descendants_of(rustix::process::getpid()) {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
}

/// Kills and reaps until no descendant is left: one that was forked while we looked is found by the next look.
fn end_family() {
    while !descendants_of(rustix::process::getpid()).is_empty() {
        kill_family();
        // Blocks until one has ended; an error means that none is left to wait for.
        if rustix::process::wait(WaitOptions::empty()).is_err() {
            return;
        }
    }
}

fn descendants_of(ancestor: Pid) -> Vec<Pid> {
    let parents: BTreeMap<i32, i32> = crate::census::processes().map(|process| (process.pid, process.parent)).collect();
    let root = ancestor.as_raw_nonzero().get();
    parents
        .keys()
        .filter(|pid| **pid != root && crate::census::descends(&parents, **pid, root))
        .filter_map(|pid| Pid::from_raw(*pid))
        .collect()
}

fn code_of(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// The second step, in the process that will be the worker.
fn become_worker(guardian: &str, command: &[String]) -> ExitCode {
    let [program, arguments @ ..] = command else {
        eprintln!("pumasi: a worker needs a command");
        return ExitCode::FAILURE;
    };
    let _ = rustix::process::setpgid(None, None);
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // The guardian may have died before the line above took effect; then nobody would ever kill us.
    if rustix::process::getppid().map(|parent| parent.as_raw_nonzero().to_string()).as_deref() != Some(guardian) {
        return ExitCode::FAILURE;
    }
    let error = Command::new(program).args(arguments).exec();
    eprintln!("pumasi: cannot run {program:?}: {error}. Is it installed, and on the PATH that Pumasi was started with?");
    // What a shell answers: 127 not found, 126 found but not executable.
    ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 })
}
