//! Signals: what a person or a service manager wants of the running program.

use std::{
    process::exit,
    sync::mpsc::Sender,
    thread,
    time::{Duration, Instant},
};

use tokio::signal::unix::{SignalKind, signal};

/// What the program was asked to do from outside.
#[derive(Debug)]
pub enum Wish {
    /// SIGINT or SIGTERM: finish what is in flight and end.
    Stop,
    /// SIGHUP.
    Reload,
    /// SIGUSR2, or the console, which waits for the answer: hand over to a new process.
    Upgrade(Option<Sender<Result<String, String>>>),
}

/// Where there is a placeholder, a second signal sooner than this is the first one's echo: a terminal and `systemctl stop` signal every
/// process of a group, and the placeholder passes it on as well.
pub const ECHO: Duration = Duration::from_millis(300);

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Sends every wish. `echo`: [`ECHO`], or zero where nobody passes signals on. The second SIGINT or SIGTERM ends the program on the spot; the guardians then end the workers.
pub fn listen(wishes: Sender<Wish>, echo: Duration) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate, mut hangup, mut user) = {
        let _context = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::user_defined2())?,
        )
    };
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            let mut stopping: Option<Instant> = None;
            loop {
                let wish = tokio::select! {
                    _ = interrupt.recv() => Wish::Stop,
                    _ = terminate.recv() => Wish::Stop,
                    _ = hangup.recv() => Wish::Reload,
                    _ = user.recv() => Wish::Upgrade(None),
                };
                if let (Wish::Stop, Some(since)) = (&wish, stopping) {
                    if since.elapsed() < echo {
                        continue;
                    }
                    eprintln!("pumasi: ended at once, as asked twice");
                    exit(INTERRUPTED);
                }
                if let Wish::Stop = wish {
                    stopping = Some(Instant::now());
                }
                if wishes.send(wish).is_err() {
                    return;
                }
            }
        });
    })?;
    Ok(())
}
