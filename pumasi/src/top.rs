//! `pumasi top`: the status again every second, on the whole terminal.

use std::{
    io::{IsTerminal, Write},
    sync::mpsc,
    time::Duration,
};

use anyhow::Context;

use crate::{
    arguments::RunningArguments,
    ask::{Mistakes, current, findings, places},
    client::Console,
    failure::Failure,
    status::text,
    stop::{self, Wish},
};

/// The console takes a picture once a second.
const EVERY: Duration = Duration::from_secs(1);

/// Until Ctrl-C, or until nobody answers any more.
pub fn top(running: &RunningArguments) -> Result<(), Failure> {
    if !std::io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "top draws on a terminal, and standard output is none. For scripts there is `pumasi status --json`.".into(),
        ));
    }
    let console = Console::of_running(&places(running, Mistakes::Overlook)?)?;
    let (wishes, wished) = mpsc::channel();
    stop::listen(wishes, Duration::ZERO).context("cannot listen for signals")?;
    let screen = Screen::enter()?;
    loop {
        let (status, findings) = (current(&console)?, findings(&console)?);
        screen.draw(&text(&status, &findings))?;
        if let Ok(Wish::Stop) | Err(mpsc::RecvTimeoutError::Disconnected) = wished.recv_timeout(EVERY) {
            return Ok(());
        }
    }
}

/// The terminal's second screen; what was on the first is back when this is dropped, however that comes about.
struct Screen;

impl Screen {
    fn enter() -> std::io::Result<Screen> {
        write("\x1b[?1049h\x1b[?25l")?;
        Ok(Screen)
    }

    /// Lines are overwritten rather than the screen cleared: clearing flickers.
    fn draw(&self, text: &str) -> std::io::Result<()> {
        // 0: a terminal that does not tell.
        let rows = rustix::termios::tcgetwinsize(std::io::stdout()).map_or(0, |size| usize::from(size.ws_row));
        let rows = if rows < 2 { 24 } else { rows };
        let mut out = String::from("\x1b[H");
        for line in text.lines().take(rows - 1) {
            out.push_str(line);
            out.push_str("\x1b[K\r\n");
        }
        out.push_str("\x1b[JCtrl-C ends.");
        write(&out)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone; then nothing is left to restore.
        let _ = write("\x1b[?25h\x1b[?1049l");
    }
}

fn write(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
