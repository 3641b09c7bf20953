//! A connection's socket with its buffers: whole payloads in, packets out, few system calls.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::results::RESULT_MAX;
use pumasi_mysqlwire::{ErrorPhase, Inbox, Outbox, Sequence, SqlError, WireError, put_error};

/// An answer is sent in pieces of this size, so that a large one takes neither memory nor a system call per row.
const FLUSH_BYTES: usize = 64 * 1024;

/// What a connection keeps allocated for its answers between commands. A page's worth of rows fits.
const KEEP_BYTES: usize = 16 * 1024;

/// Why no further payload comes.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("the client hung up")]
    HungUp,
    #[error("nothing came in time")]
    TimedOut,
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error(transparent)]
    Io(io::Error),
}

/// Both directions of one connection. The two halves are apart so that a command may borrow its text from the inbox while the answer
/// is being written.
pub struct Wire {
    pub inbox: Inbox,
    pub out: Out,
}

/// The way out, with the sequence number that both ways share.
pub struct Out {
    stream: Arc<TcpStream>,
    outbox: Outbox,
    /// What the worker's open requests were told of the answer under way; to be held until its last byte is sent.
    witnessed: Vec<pumasi_freshness::Statement>,
    /// An answer that goes out behind the outbox as it was stored.
    stored: Option<Arc<[u8]>>,
    /// Bytes that have left the outbox.
    sent: u64,
    pub sequence: Sequence,
}

/// A place in the way out, for [`Out::since`].
#[derive(Clone, Copy)]
pub struct Mark(u64);

impl Wire {
    pub fn new(stream: Arc<TcpStream>, payload_max: usize) -> Wire {
        Wire {
            inbox: Inbox::new(payload_max),
            out: Out { stream, outbox: Outbox::default(), witnessed: Vec::new(), stored: None, sent: 0, sequence: Sequence::default() },
        }
    }

    /// Waits until a whole payload is there, from one byte to the next for as long as the socket's read timeout says.
    pub fn wait(&mut self) -> Result<(), Lost> {
        self.fill(None)
    }

    /// The payload that [`Wire::wait`] waited for, with the way out beside it.
    pub fn take(&mut self) -> Result<(&[u8], &mut Out), WireError> {
        let payload = self.inbox.take(&mut self.out.sequence)?.expect("wait returned, so there is one");
        Ok((payload, &mut self.out))
    }

    /// A whole payload, which must be there by `deadline`. Leaves the socket's read timeout changed.
    pub fn receive_by(&mut self, deadline: Instant) -> Result<&[u8], Lost> {
        self.fill(Some(deadline))?;
        Ok(self.inbox.take(&mut self.out.sequence)?.expect("fill returns when there is one"))
    }

    /// Reads until a whole payload is there.
    fn fill(&mut self, deadline: Option<Instant>) -> Result<(), Lost> {
        while !self.inbox.ready()? {
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                // Zero would mean no timeout at all.
                self.out.stream.set_read_timeout(Some(left.max(Duration::from_millis(1)))).map_err(Lost::Io)?;
            }
            match (&*self.out.stream).read(self.inbox.space()) {
                Ok(0) => return Err(Lost::HungUp),
                Ok(count) => self.inbox.filled(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => return Err(Lost::TimedOut),
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => {
                    return Err(Lost::HungUp);
                }
                Err(error) => return Err(Lost::Io(error)),
            }
        }
        Ok(())
    }
}

impl Out {
    /// Adds one packet whose payload `write` appends.
    pub fn packet(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.outbox.packet(&mut self.sequence, write);
    }

    /// Adds one packet, unless `write` fails: then nothing is added.
    pub fn try_packet<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let begun = self.outbox.begin();
        match write(self.outbox.payload()) {
            Ok(()) => self.outbox.end(begun, &mut self.sequence),
            Err(error) => {
                self.outbox.cancel(begun);
                return Err(error);
            }
        }
        Ok(())
    }

    pub fn error(&mut self, error: &SqlError) {
        self.packet(|out| put_error(out, error, ErrorPhase::AfterGreeting));
    }

    pub fn set_read_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.set_read_timeout(Some(timeout))
    }

    /// Whether as much has piled up as is worth a system call; or, if `held`, as much as is held back.
    pub fn large(&self, held: bool) -> bool {
        self.outbox.bytes().len() >= if held { RESULT_MAX } else { FLUSH_BYTES }
    }

    pub fn mark(&self) -> Mark {
        Mark(self.sent + self.outbox.bytes().len() as u64)
    }

    /// What has been added since `mark`; `None` if some of it was sent already.
    pub fn since(&self, mark: Mark) -> Option<&[u8]> {
        let began = usize::try_from(mark.0.checked_sub(self.sent)?).ok()?;
        self.outbox.bytes().get(began..)
    }

    /// The whole answer to the command, numbered from 1, without a copy.
    pub fn stored(&mut self, packets: Arc<[u8]>) {
        self.stored = Some(packets);
    }

    /// Keeps a report to a worker's requests standing until the answer is complete.
    pub fn hold(&mut self, statement: pumasi_freshness::Statement) {
        self.witnessed.push(statement);
    }

    /// Sends the rest of the answer.
    pub fn complete(&mut self) -> io::Result<()> {
        let sent = self.flush();
        self.witnessed.clear();
        sent
    }

    pub fn flush(&mut self) -> io::Result<()> {
        if !self.outbox.bytes().is_empty() {
            (&*self.stream).write_all(self.outbox.bytes())?;
            self.sent += self.outbox.bytes().len() as u64;
            self.outbox.sent(KEEP_BYTES);
        }
        if let Some(packets) = self.stored.take() {
            (&*self.stream).write_all(&packets)?;
        }
        Ok(())
    }
}
