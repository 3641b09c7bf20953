//! Signals: what a person or a service manager wants of the running program.

use std::{process::exit, sync::mpsc::Sender, thread};

use tokio::signal::unix::{SignalKind, signal};

/// What the program was asked to do from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// SIGINT or SIGTERM: finish what is in flight and end.
    Stop,
    /// SIGHUP.
    Reload,
}

/// What a shell reports for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Sends every wish. The second SIGINT or SIGTERM ends the program on the spot; the guardians then end the workers.
pub fn listen(wishes: Sender<Wish>) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _context = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
    };
    thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            let mut stopping = false;
            loop {
                let wish = tokio::select! {
                    _ = interrupt.recv() => Wish::Stop,
                    _ = terminate.recv() => Wish::Stop,
                    _ = hangup.recv() => Wish::Reload,
                };
                if stopping && wish == Wish::Stop {
                    eprintln!("pumasi: ended at once, as asked twice");
                    exit(INTERRUPTED);
                }
                stopping |= wish == Wish::Stop;
                if wishes.send(wish).is_err() {
                    return;
                }
            }
        });
    })?;
    Ok(())
}
