//! What Pumasi says about itself, on standard error.

use pumasi_config::LogPlan;
use tracing_subscriber::{EnvFilter, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

use crate::diary::colours_wanted;

/// Changes the level of a running log.
pub struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Logging {
    /// Called once per process.
    pub fn start(plan: &LogPlan) -> Logging {
        let (filter, handle) = reload::Layer::new(filter(plan));
        let registry = tracing_subscriber::registry().with(filter);
        if plan.json {
            registry.with(fmt::layer().json().with_writer(std::io::stderr)).init();
        } else {
            let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(colours_wanted()).with_target(false).with_timer(Clock);
            registry.with(layer).init();
        }
        Logging { filter: handle }
    }

    pub fn set_level(&self, plan: &LogPlan) {
        // The only error is that the log is gone, and then there is nobody to tell.
        let _ = self.filter.reload(filter(plan));
    }
}

fn filter(plan: &LogPlan) -> EnvFilter {
    // The configuration has checked the levels; a directive that tracing still does not take leaves the rest in force.
    EnvFilter::new(&plan.level)
}

/// Time of day in UTC, to the millisecond: short enough to read beside the message.
struct Clock;

impl fmt::time::FormatTime for Clock {
    fn format_time(&self, out: &mut fmt::format::Writer<'_>) -> std::fmt::Result {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let seconds = now.as_secs() % 86_400;
        write!(out, "{:02}:{:02}:{:02}.{:03}Z", seconds / 3600, seconds / 60 % 60, seconds % 60, now.subsec_millis())
    }
}
