//! What workers print, line by line.
use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Takes what workers say and what happens to them. Called on the control thread: must not block for long.
pub trait Journal: Send + Sync + 'static {
    /// One line of a worker's standard output or error, without its end of line.
    fn line(&self, worker: &str, line: &str);
    /// Something a person may want to know. `level` is `info`, `warn` or `error`.
    fn event(&self, level: &'static str, subject: &str, message: &str);
}

/// A longer line is shown in pieces of this size: a worker that prints without end costs this much memory.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// How many lines are kept for the error message of a worker that dies.
const TAIL_LINES: usize = 50;

/// The last lines of one process's output.
#[derive(Clone, Default)]
pub struct Tail(Rc<RefCell<VecDeque<String>>>);

impl Tail {
    fn push(&self, line: String) {
        let mut lines = self.0.borrow_mut();
        if lines.len() == TAIL_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The newest `count` lines, oldest first.
    pub fn last(&self, count: usize) -> Vec<String> {
        let lines = self.0.borrow();
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }
}

/// Reads to the end of `stream`, passing each line on. Bytes that are not UTF-8 are shown as U+FFFD.
pub async fn follow(stream: impl AsyncRead + Unpin, worker: String, journal: std::sync::Arc<dyn Journal>, tail: Tail) {
    let mut reader = BufReader::with_capacity(LINE_BYTES_MAX, stream);
    let mut line = Vec::new();
    loop {
        let (used, complete) = match reader.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(bytes) => {
                let room = bytes.len().min(LINE_BYTES_MAX - line.len());
                match bytes[..room].iter().position(|byte| *byte == b'\n') {
                    Some(end) => {
                        line.extend_from_slice(&bytes[..end]);
                        (end + 1, true)
                    }
                    None => {
                        line.extend_from_slice(&bytes[..room]);
                        (room, line.len() == LINE_BYTES_MAX)
                    }
                }
            }
        };
        reader.consume(used);
        if complete {
            pass_on(&mut line, &worker, &*journal, &tail);
        }
    }
    if !line.is_empty() {
        pass_on(&mut line, &worker, &*journal, &tail);
    }
}

fn pass_on(line: &mut Vec<u8>, worker: &str, journal: &dyn Journal, tail: &Tail) {
    let text = String::from_utf8_lossy(line);
    let text = text.strip_suffix('\r').unwrap_or(&text);
    journal.line(worker, text);
    tail.push(text.to_owned());
    line.clear();
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Journal for Heard {
        fn line(&self, worker: &str, line: &str) {
            self.0.lock().expect("one thread").push(format!("{worker} {line}"));
        }
        fn event(&self, _: &'static str, _: &str, _: &str) {}
    }

    fn heard(bytes: &[u8]) -> (Vec<String>, Tail) {
        let (journal, tail) = (Arc::new(Heard::default()), Tail::default());
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(follow(bytes, "w".into(), journal.clone(), tail.clone()));
        let lines = journal.0.lock().expect("one thread").clone();
        (lines, tail)
    }

    #[test]
    fn lines_end_at_newlines_and_the_last_needs_none() {
        assert_eq!(heard(b"a\r\n\nb\xff\nc").0, ["w a", "w ", "w b\u{fffd}", "w c"]);
    }

    #[test]
    fn a_line_without_end_is_cut_into_pieces() {
        let (lines, _) = heard(&vec![b'x'; LINE_BYTES_MAX * 2 + 5]);
        assert_eq!(lines.iter().map(|line| line.len() - 2).collect::<Vec<_>>(), [LINE_BYTES_MAX, LINE_BYTES_MAX, 5]);
    }

    #[test]
    fn the_tail_keeps_the_newest() {
        let text: String = (0..100).map(|n| format!("{n}\n")).collect();
        let (_, tail) = heard(text.as_bytes());
        assert_eq!(tail.last(2), ["98", "99"]);
        assert_eq!(tail.last(1000).len(), TAIL_LINES);
    }
}
