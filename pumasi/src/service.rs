//! The house as the console sees and steers it.

use pumasi_console::{Cluster, ClusterChange, Drain, Purge, Purged, Recording, Service, Setting, load::LoadTests};
use pumasi_status::Status;

use crate::{databases::ClusterOrder, house::House};

impl Service for House {
    fn status(&self) -> Status {
        House::status(self)
    }

    fn configuration(&self) -> Vec<Setting> {
        let shown = |(setting, origin): (pumasi_config::Setting, String)| Setting {
            path: setting.path,
            value: setting.value.unwrap_or_else(|| setting.unset.unwrap_or_default().to_owned()),
            origin,
        };
        self.settings().into_iter().map(shown).collect()
    }

    fn reload(&self) -> Result<String, String> {
        House::reload(self).map_err(|failure| failure.text())
    }

    fn upgrade(&self) -> Result<String, String> {
        House::upgrade(self)
    }

    fn load_tests(&self) -> Option<&dyn LoadTests> {
        Some(self)
    }

    fn purge(&self, purge: &Purge) -> Result<String, String> {
        let pages = match &purge.pages {
            Purged::Url(url) => pumasi_edge::Purge::Target(url),
            Purged::Prefix(prefix) => pumasi_edge::Purge::Prefix(prefix),
            Purged::Tag(tag) => pumasi_edge::Purge::Tag(tag),
            Purged::Everything => pumasi_edge::Purge::Everything,
        };
        let (kind, done) = match purge.soft {
            true => (pumasi_edge::PurgeKind::Soft, "made stale"),
            false => (pumasi_edge::PurgeKind::Hard, "dropped"),
        };
        match House::purge(self, pages, kind) {
            Some(1) => Ok(format!("1 page {done}")),
            Some(count) => Ok(format!("{count} pages {done}")),
            None => Err("there is no edge, so no page is kept".into()),
        }
    }

    fn explain(&self, url: &str) -> Result<Vec<pumasi_status::Explained>, String> {
        House::explain(self, url)
    }

    fn cluster(&self, order: &Cluster) -> Result<String, String> {
        let Cluster { database, change } = order;
        let order = match change.clone() {
            ClusterChange::Promote { member, accept_loss } => ClusterOrder::Promote { member, accept_loss },
            ClusterChange::Drain { member, way } => ClusterOrder::Drain { member, back: way == Drain::Back },
            ClusterChange::Rejoin { member, rebuild } => ClusterOrder::Rejoin { member, rebuild },
        };
        House::order(self, database.as_deref(), &order)
    }

    fn record(&self, bodies: bool) -> Result<Recording, String> {
        self.recorder().fetch(std::time::Instant::now(), bodies)
    }

    fn weigh(&self, upstream: &str, weight: u32) -> Result<String, String> {
        House::weigh(self, upstream, weight)
    }

    fn drain(&self, upstream: &str, drain: Drain) -> Result<String, String> {
        House::drain(self, upstream, drain == Drain::Back)
    }
}
