//! Forwards answers packet by packet as they come. Only OK packets are looked into, and rewritten where they report session changes.

use pumasi_mysqlwire::{
    Capabilities, Command, EofPacket, Expect, Follower, HEADER, OkPacket, Passed, ServerStatus, SessionChange, WireError,
};

use tracing::warn;

use super::{super::link::Link, Client, Trouble};
use crate::{front::wire::Lost, results::RESULT_MAX};

/// A packet of rows longer than this is passed on as it comes instead of being read whole first.
const STREAM_BYTES: usize = 64 * 1024;

/// What went by while an answer was forwarded.
#[derive(Debug, Default)]
pub(super) struct Relayed {
    pub(super) failed: bool,
    /// The number of the error it ended in.
    pub(super) error: Option<u16>,
    /// Of all results of the answer.
    pub(super) rows: u64,
    /// Their bytes, and those of the longest.
    pub(super) row_bytes: u64,
    pub(super) row_bytes_max: u64,
    /// Of the last one.
    pub(super) last_rows: u64,
    pub(super) results: u32,
    pub(super) warnings: u16,
    pub(super) prepared: Option<pumasi_mysqlwire::Prepared>,
    pub(super) cursor: bool,
    /// What the server says of cursors is about the client's, not about those of a routine that ran.
    cursors: bool,
    pub(super) last_row: bool,
    pub(super) pins: Option<&'static str>,
    pub(super) affected_rows: Option<u64>,
    pub(super) insert_id: u64,
    /// The last one reported in this answer.
    pub(super) gtid: Option<Vec<u8>>,
}

/// What [`Client::pass`] leaves to do.
enum Step {
    Passed,
    /// The packet is longer than what is here.
    Stream {
        left: usize,
    },
    SendFile,
}

/// EOF packets that a client expects and a server no longer sends: every connection to a server is asked to leave them out, because only
/// the OK packet in their place says what changed in the session.
#[derive(Debug)]
struct Eofs {
    missing: bool,
    /// The columns are through; the next packet tells whether an EOF belongs between.
    due: bool,
    /// The answer may end with an open cursor.
    cursor: bool,
}

impl Eofs {
    fn new(server: Capabilities, client: Capabilities, expect: Expect) -> Eofs {
        let deprecated = Capabilities::DEPRECATE_EOF;
        Eofs { missing: server.contains(deprecated) && !client.contains(deprecated), due: false, cursor: expect == Expect::Cursor }
    }
}

impl Client {
    /// Sends a command on the leased connection and forwards its answer.
    pub(super) async fn run_leased(&mut self, command: Command<'_>, expect: Expect) -> Result<Relayed, Trouble> {
        self.lease_mut().backend.send(command).await.map_err(Trouble::Backend)?;
        self.relay(expect, None).await
    }

    /// Forwards an answer, packet by packet. `statement`: the client's number for the statement that is being prepared.
    pub(super) async fn relay(&mut self, expect: Expect, statement: Option<u32>) -> Result<Relayed, Trouble> {
        self.answering = true;
        self.signals.statement_begins();
        let mut follower = Follower::new(expect, self.key.capabilities);
        let mut eofs = Eofs::new(self.key.capabilities, self.capabilities, expect);
        let mut relayed = Relayed { cursors: matches!(expect, Expect::Cursor | Expect::Rows), ..Relayed::default() };
        self.passed = false;
        loop {
            self.pass_rows(&mut follower, &eofs, &mut relayed).map_err(|error| Trouble::Backend(Lost::Wire(error)))?;
            while let Some(step) =
                self.pass(&mut follower, &mut eofs, &mut relayed, statement).map_err(|error| Trouble::Backend(Lost::Wire(error)))?
            {
                self.passed = true;
                match step {
                    Step::Passed => {}
                    Step::Stream { left } => self.stream(left).await?,
                    Step::SendFile => Box::pin(self.send_file()).await?,
                }
                if follower.done() {
                    self.answering = false;
                    return Ok(relayed);
                }
                self.pass_rows(&mut follower, &eofs, &mut relayed).map_err(|error| Trouble::Backend(Lost::Wire(error)))?;
                self.link.flush_if_large().await.map_err(Trouble::Client)?;
            }
            self.fill().await?;
        }
    }

    /// Puts all rows that are here and whole into the client's outbox at once. What is left comes packet by packet.
    fn pass_rows(&mut self, follower: &mut Follower, eofs: &Eofs, relayed: &mut Relayed) -> Result<(), WireError> {
        if eofs.due || !follower.in_rows() {
            return Ok(());
        }
        let Client { link, lease, recording, .. } = self;
        let lease = lease.as_mut().expect("acquired by the caller");
        if lease.server().deposed() {
            return Ok(());
        }
        let server = &mut lease.backend.link;
        let run = follower.rows(server.inbox.raw(), &mut server.sequence)?;
        if run.rows == 0 {
            return Ok(());
        }
        self.passed = true;
        relayed.rows += run.rows;
        relayed.last_rows += run.rows;
        relayed.row_bytes += run.bytes as u64 - run.rows * HEADER as u64;
        relayed.row_bytes_max = relayed.row_bytes_max.max(run.longest as u64);
        let at = link.outbox.bytes().len();
        link.outbox.payload().extend_from_slice(&server.inbox.raw()[..run.bytes]);
        link.sequence.number(&mut link.outbox.payload()[at..]);
        server.inbox.skip(run.bytes);
        if let Some(packets) = recording {
            packets.extend_from_slice(&link.outbox.bytes()[at..]);
            if packets.len() > RESULT_MAX {
                *recording = None;
            }
        }
        Ok(())
    }

    /// Takes one packet of the answer, if there is a whole one, and puts it into the client's outbox.
    fn pass(
        &mut self,
        follower: &mut Follower,
        eofs: &mut Eofs,
        relayed: &mut Relayed,
        statement: Option<u32>,
    ) -> Result<Option<Step>, WireError> {
        let Client { link, lease, state, key, capabilities, recording, .. } = self;
        let lease = lease.as_mut().expect("acquired by the caller");
        let deposed = lease.server().deposed();
        let backend = &mut lease.backend;
        let Some((header, payload)) = backend.link.inbox.peek() else { return Ok(None) };
        let whole = payload.len() == header.length;
        let streams = header.length > STREAM_BYTES && payload.first().is_some_and(|first| follower.may_stream(*first));
        if !whole && !streams {
            return Ok(None);
        }
        if deposed {
            // Another has taken its place: what it acknowledges now may be lost.
            return Err(WireError::Malformed("answer of a server that is not the primary any more"));
        }
        backend.link.sequence.accept(header.sequence)?;
        let raw = &backend.link.inbox.raw()[..HEADER + payload.len()];
        let mut step = Step::Passed;
        let row = follower.in_rows();
        let before = link.outbox.bytes().len();
        let passed = follower.packet(payload, header.length)?;
        if std::mem::take(&mut eofs.due) && !(eofs.cursor && opens_cursor(&passed)) {
            let status = backend.status.with(ServerStatus::MORE_RESULTS, false);
            link.packet(|out| EofPacket { warnings: 0, status }.encode(out));
        }
        match passed {
            Passed::Data => {
                if row {
                    relayed.row_bytes += header.length as u64;
                    relayed.row_bytes_max = relayed.row_bytes_max.max(header.length as u64);
                }
                relayed.rows += u64::from(row);
                relayed.last_rows += u64::from(row);
                forward(link, raw);
            }
            Passed::LastDefinition => {
                forward(link, raw);
                // Of a result, only what comes next tells: in front of a cursor there is none.
                eofs.due = eofs.missing && follower.in_rows();
                if eofs.missing && !eofs.due {
                    let status = backend.status;
                    link.packet(|out| EofPacket { warnings: 0, status }.encode(out));
                }
                relayed.last_rows = 0;
            }
            Passed::Ok(ok) => {
                backend.status = ok.status;
                let learned = backend.state.learn(&ok);
                if !ok.changes.is_empty() {
                    backend.state.copy_to(state);
                }
                backend.transaction_holds = learned.transaction_holds.unwrap_or(backend.transaction_holds);
                relayed.saw(ok.status, ok.warnings);
                relayed.pins = relayed.pins.or(learned.pins);
                relayed.gtid = learned.gtid.or(relayed.gtid.take());
                if payload[0] == 0 {
                    relayed.affected_rows = Some(ok.affected_rows);
                    relayed.insert_id = if ok.last_insert_id != 0 { ok.last_insert_id } else { relayed.insert_id };
                } else {
                    relayed.affected_rows = None;
                }
                relayed.results += 1;
                if payload[0] != 0 && eofs.missing {
                    let status = ok.status.with(ServerStatus::SESSION_STATE_CHANGED, false);
                    link.packet(|out| EofPacket { warnings: ok.warnings, status }.encode(out));
                } else {
                    put_ok_packet(link, raw, &ok, payload[0], *capabilities, key.capabilities);
                }
            }
            Passed::Eof(eof) => {
                backend.status = eof.status;
                relayed.saw(eof.status, eof.warnings);
                relayed.affected_rows = None;
                if follower.in_rows() {
                    relayed.last_rows = 0;
                } else {
                    relayed.results += 1;
                }
                forward(link, raw);
            }
            Passed::Err => {
                relayed.failed = true;
                relayed.error = payload.get(1..3).map(|code| u16::from_le_bytes([code[0], code[1]]));
                forward(link, raw);
            }
            Passed::Prepared(prepared) => {
                relayed.prepared = Some(prepared);
                let at = link.outbox.bytes().len();
                forward(link, raw);
                if let Some(id) = statement {
                    link.outbox.payload()[at + HEADER + 1..at + HEADER + 5].copy_from_slice(&id.to_le_bytes());
                }
            }
            Passed::WantsFile => {
                forward(link, raw);
                step = Step::SendFile;
            }
        }
        let (taken, left) = (raw.len(), header.length - payload.len());
        if let Some(packets) = recording {
            packets.extend_from_slice(&link.outbox.bytes()[before..]);
            if left > 0 || relayed.failed || packets.len() > RESULT_MAX {
                *recording = None;
            }
        }
        backend.link.inbox.skip(taken);
        if left > 0 {
            step = Step::Stream { left };
        }
        Ok(Some(step))
    }

    /// Passes the rest of a long packet on as it comes.
    async fn stream(&mut self, mut left: usize) -> Result<(), Trouble> {
        while left > 0 {
            let Client { link, lease, .. } = self;
            let inbox = &mut lease.as_mut().expect("acquired by the caller").backend.link.inbox;
            let here = inbox.raw().len().min(left);
            link.outbox.payload().extend_from_slice(&inbox.raw()[..here]);
            inbox.skip(here);
            left -= here;
            self.link.flush_if_large().await.map_err(Trouble::Client)?;
            if left > 0 {
                self.fill().await.map_err(|trouble| match trouble {
                    // Half a packet has been sent: no error packet can follow it.
                    Trouble::Backend(lost) => Trouble::Client(lost),
                    other => other,
                })?;
            }
        }
        Ok(())
    }

    /// LOAD DATA LOCAL: passes the client's packets on until the empty one.
    async fn send_file(&mut self) -> Result<(), Trouble> {
        self.link.flush().await.map_err(Trouble::Client)?;
        loop {
            let piece = self.link.receive().await.map_err(Trouble::Client)?;
            let link = &mut self.lease_mut().backend.link;
            link.packet(|out| out.extend_from_slice(&piece));
            if piece.is_empty() {
                return link.flush().await.map_err(Trouble::Backend);
            }
            link.flush_if_large().await.map_err(Trouble::Backend)?;
        }
    }

    /// Reads more of the answer; meanwhile listens for KILL QUERY and for the end of the primary.
    async fn fill(&mut self) -> Result<(), Trouble> {
        if !self.link.outbox.bytes().is_empty() {
            let lease = self.lease.as_mut().expect("acquired by the caller");
            tokio::select! {
                biased;
                filled = lease.backend.link.fill() => return filled.map_err(Trouble::Backend),
                () = std::future::ready(()) => {}
            }
            // Nothing more is here: what is may be all for a while, and the client need not wait for it.
            self.link.flush().await.map_err(Trouble::Client)?;
        }
        loop {
            let lease = self.lease.as_mut().expect("acquired by the caller");
            tokio::select! {
                biased;
                filled = lease.backend.link.fill() => return filled.map_err(Trouble::Backend),
                () = self.signals.told() => {}
            }
            if lease.server().deposed() {
                return Err(Trouble::Backend(Lost::HungUp));
            }
            if self.signals.cut() {
                return Err(Trouble::Client(Lost::HungUp));
            }
            if self.signals.interrupted() {
                Box::pin(self.interrupt()).await;
            }
        }
    }

    /// Interrupts the statement on the leased connection from a connection beside it. The lease is held meanwhile, so that the KILL cannot
    /// hit another client's statement.
    async fn interrupt(&self) {
        let Some(lease) = &self.lease else { return };
        if let Err(error) = lease.pool.interrupt(lease.backend.server_id, &self.user).await {
            warn!(database = %self.shared.settings.name, connection = self.place.entry.id, error, "a statement could not be interrupted");
        }
    }
}

impl Relayed {
    fn saw(&mut self, status: ServerStatus, warnings: u16) {
        self.warnings = warnings;
        let open = status.contains(ServerStatus::CURSOR_EXISTS) && !status.contains(ServerStatus::LAST_ROW_SENT);
        self.cursor = self.cursors && open;
        self.last_row = status.contains(ServerStatus::LAST_ROW_SENT);
    }
}

// === helpers ===

/// Copies a packet, or what is here of it, numbered as the client counts.
fn forward(link: &mut Link, raw: &[u8]) {
    let at = link.outbox.bytes().len();
    link.outbox.payload().extend_from_slice(raw);
    link.outbox.payload()[at + HEADER - 1] = link.sequence.issue();
}

fn opens_cursor(passed: &Passed<'_>) -> bool {
    matches!(passed, Passed::Ok(ok) if ok.status.contains(ServerStatus::CURSOR_EXISTS))
}

/// An OK packet as the client understands it: without the reports that only the proxy asked for.
fn put_ok_packet(link: &mut Link, raw: &[u8], ok: &OkPacket<'_>, first: u8, client: Capabilities, server: Capabilities) {
    let tracked = client.contains(Capabilities::SESSION_TRACK);
    if ok.changes.is_empty() && (tracked || ok.info.is_empty()) {
        forward(link, raw);
        return;
    }
    debug_assert!(server.contains(Capabilities::SESSION_TRACK), "every connection to a server tracks");
    let mut changes = Vec::new();
    for change in ok.changes().map_while(Result::ok) {
        let wanted = match change {
            SessionChange::Variable { name, .. } => !name.starts_with(b"session_track"),
            SessionChange::Schema(_) => true,
            _ => false,
        };
        if wanted {
            change.encode(&mut changes);
        }
    }
    let ok = OkPacket { changes: &changes, ..*ok };
    link.packet(|out| if first == 0 { ok.encode(out, client) } else { ok.encode_as_eof(out, client) });
}
