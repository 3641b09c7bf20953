//! The edge's probes, lent to the supervisor: a worker that starts is asked what it will be asked later, in the protocol it serves.

use std::pin::Pin;

use pumasi_balance::Upstream;
use pumasi_config::PoolPlan;
use pumasi_edge::Prober;
use pumasi_web::{Probe, Probes};

pub struct EdgeProbes;

impl Probes for EdgeProbes {
    fn of(&self, pool: &PoolPlan) -> Result<Option<Box<dyn Probe>>, String> {
        let prober = Prober::of(pool).map_err(|error| error.to_string())?;
        Ok(prober.map(|prober| Box::new(OfPool(prober)) as Box<dyn Probe>))
    }
}

struct OfPool(Prober);

impl Probe for OfPool {
    fn ask<'a>(&'a self, upstream: &'a Upstream) -> Pin<Box<dyn Future<Output = bool> + 'a>> {
        Box::pin(async { self.0.ask(upstream).await.is_ok() })
    }
}
