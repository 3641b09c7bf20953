//! A place at an upstream: at once, or after a wait in the pool's queue.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use pumasi_balance::{Choice, Lease, Pool, UpstreamId};

use crate::{answers::Trouble, timer::Timer};

/// Finds one at `now`, not among `exclude`. Waits up to `timeout` on the task's own `timer` when all are taken. Also says how long that was, in
/// microseconds. Cancel-safe: a dropped wait leaves the queue.
pub(crate) async fn find(
    pool: &Arc<Pool>,
    key: Option<u64>,
    exclude: &[UpstreamId],
    timeout: Duration,
    timer: &Timer,
    now: Instant,
) -> Result<(Lease, u64), Trouble> {
    match pool.choose(key, exclude, now) {
        Choice::Use(lease) => return Ok((lease, 0)),
        Choice::Nobody(_) => return Err(Trouble::NoUpstream),
        Choice::Full => {}
    }
    // On the heap, as it is rare: what stands here is part of every request's future.
    Box::pin(wait(pool, key, exclude, timeout, timer)).await
}

async fn wait(
    pool: &Arc<Pool>,
    key: Option<u64>,
    exclude: &[UpstreamId],
    timeout: Duration,
    timer: &Timer,
) -> Result<(Lease, u64), Trouble> {
    let began = Instant::now();
    let mut ticket = pool.queue().enter().map_err(|_| Trouble::QueueFull)?;
    timer.arm(timeout);
    loop {
        match pool.choose(key, exclude, Instant::now()) {
            Choice::Use(lease) => {
                timer.disarm();
                return Ok((lease, began.elapsed().as_micros() as u64));
            }
            Choice::Nobody(_) => return Err(Trouble::NoUpstream),
            Choice::Full => {}
        }
        let mut turn = pin!(ticket.turn());
        let called = poll_fn(|context| {
            if turn.as_mut().poll(context).is_ready() {
                return Poll::Ready(true);
            }
            timer.watch(context);
            if timer.fired() { Poll::Ready(false) } else { Poll::Pending }
        });
        if !called.await {
            return Err(Trouble::QueueTimeout);
        }
    }
}
