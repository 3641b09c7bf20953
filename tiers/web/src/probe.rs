//! Is the worker ready? The first question it is asked, before any request.
use std::{pin::Pin, time::Duration};

use pumasi_balance::Upstream;
use pumasi_config::PoolPlan;
use pumasi_freshness::Witness;
use tokio::{net::TcpStream, time::timeout};

/// How often a starting worker is asked. A worker that is up should take requests at once, so this is shorter than `probe.every`.
pub const EVERY: Duration = Duration::from_millis(50);

/// How long a worker without a probe may take to accept a connection before it is asked again.
const ACCEPT_PATIENCE: Duration = Duration::from_secs(1);

/// Makes what starting workers are asked. Whoever sends them requests has it (protocols, TLS, what an answer must be like), and the binary
/// lends it: tiers do not know each other.
pub trait Probes: Send + Sync + 'static {
    /// The probe of `pool`; `None` if it has none. Blocks on the disk. The error text says what about the plan cannot be used.
    fn of(&self, pool: &PoolPlan) -> Result<Option<Box<dyn Probe>>, String>;
}

/// One pool's probe.
pub trait Probe: Send + Sync {
    /// Resolves within the probe's own time-out: with whether `upstream` does what the probe wants. Dropping it ends the question.
    fn ask<'a>(&'a self, upstream: &'a Upstream) -> Pin<Box<dyn Future<Output = bool> + 'a>>;
}

/// Waits until `upstream` does what `probe` wants, or accepts a connection where there is none. Never returns otherwise: the caller holds the
/// deadline. A probe is a request too: what it makes the application read belongs to one that ends.
pub async fn answered(upstream: &Upstream, probe: Option<&dyn Probe>) {
    loop {
        let window = upstream.witness.as_ref().map(Witness::open_for_nobody);
        let good = match probe {
            Some(probe) => probe.ask(upstream).await,
            None => timeout(ACCEPT_PATIENCE, TcpStream::connect(upstream.address)).await.is_ok_and(|opened| opened.is_ok()),
        };
        drop(window);
        if good {
            return;
        }
        tokio::time::sleep(EVERY).await;
    }
}
