//! Waiting for a turn: for a limit, for a server connection. Who waits hears KILL and the end of the proxy, and notices when its client leaves.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::Poll,
};

use pumasi_mysqlwire::SqlError;

use super::{super::Shared, Signals, Trouble};
use crate::{
    front::{registry::Entry, wire::Lost},
    proxy::link::Link,
};

/// Bytes of further commands that a client may send ahead while it waits. Whoever sends more is not listened to until its turn has come.
const AHEAD_MAX: usize = 64 * 1024;

/// `turn`, unless the client is killed, interrupted or gone before. Costs nothing if its turn has come already.
pub(super) async fn in_turn<T>(
    shared: &Shared,
    link: &mut Link,
    signals: &Signals,
    entry: &Entry,
    turn: impl Future<Output = T>,
) -> Result<T, Trouble> {
    let mut turn = pin!(turn);
    if let Some(mine) = at_once(turn.as_mut()).await {
        return Ok(mine);
    }
    signals.statement_begins();
    loop {
        // A shutdown lets statements finish, those that wait as well; it cuts them off at its deadline.
        if signals.cut() || entry.ending() && !shared.stopping() {
            return Err(Trouble::Client(Lost::HungUp));
        }
        tokio::select! {
            biased;
            mine = &mut turn => return Ok(mine),
            () = signals.told() => {}
            more = link.fill(), if link.inbox.pending() < AHEAD_MAX => more.map_err(Trouble::Client)?,
        }
        // KILL is both: it goes first, above.
        if signals.interrupted() && !entry.ending() {
            return Err(SqlError::new(1317, "70100", "Query execution was interrupted").into());
        }
    }
}

async fn at_once<F: Future>(mut turn: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| match turn.as_mut().poll(context) {
        Poll::Ready(mine) => Poll::Ready(Some(mine)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
