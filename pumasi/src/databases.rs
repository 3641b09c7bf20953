//! The databases of the configuration, and each worker's own address at them.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use pumasi_config::{Hole, SqlPlan};
use pumasi_freshness::Witness;
use pumasi_web::{Binding, Resources};

/// The running databases.
#[derive(Default)]
pub struct Databases {}

impl Databases {
    pub fn start(plans: &BTreeMap<String, SqlPlan>) -> anyhow::Result<Databases> {
        anyhow::ensure!(plans.is_empty(), "this version has no SQL tier yet: remove the [sql.NAME] sections");
        Ok(Databases {})
    }

    pub fn status(&self) -> Vec<pumasi_status::Sql> {
        vec![]
    }

    /// Where clients other than the workers connect to the database of that name.
    pub fn address(&self, _name: &str) -> Option<SocketAddr> {
        None
    }

    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        vec![]
    }

    /// Starts those of the plans that do not run yet.
    pub fn add(&self, _plans: &BTreeMap<String, SqlPlan>) -> anyhow::Result<()> {
        Ok(())
    }

    /// Stops those that are not in the plans.
    pub fn keep(&self, _plans: &BTreeMap<String, SqlPlan>) {}

    pub fn stop(&self) {}
}

impl Resources for Databases {
    fn bind(&self, _worker: &str) -> Result<Box<dyn Binding>, String> {
        Ok(Box::new(Bound {}))
    }
}

/// One worker's addresses. Dropping it closes them.
struct Bound {}

impl Binding for Bound {
    fn fill(&self, _hole: &Hole) -> Option<String> {
        None
    }

    fn witness(&self) -> Option<Arc<Witness>> {
        None
    }
}
