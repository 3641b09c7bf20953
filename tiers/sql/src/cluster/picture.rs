//! A cluster as operators see it.

use std::sync::Arc;

use pumasi_config::{FailoverMode, ReadsMode};

use super::{Cluster, Member, Topology};

impl Cluster {
    /// The picture of this moment; waits for nothing.
    pub fn picture(&self) -> pumasi_status::Cluster {
        let topology = self.topology();
        let (replica_reads_total, primary_reasons) = self.counts.shown();
        pumasi_status::Cluster {
            epoch: topology.epoch,
            primary: topology.primary.map(|number| self.members[number].name.clone()),
            failover: if self.plan.failover == FailoverMode::Automatic { "automatic" } else { "manual" }.into(),
            reads: match self.plan.reads {
                ReadsMode::Fresh => "fresh".into(),
                ReadsMode::Primary => "primary".into(),
                ReadsMode::Bounded(bound) => format!("bounded {bound:?}"),
            },
            acknowledged: self.positions.acknowledged(),
            replica_reads_total,
            primary_reasons,
            members: self.members.iter().map(|member| self.picture_of(member, topology)).collect(),
            last_failover: self.record().last_failover.clone(),
            notice: match () {
                () if self.positions.lost_count() => {
                    Some("no replica answers reads until another server is the primary: too many writes are of unknown outcome".to_owned())
                }
                () if self.positions.elsewhere() > 0 => Some(
                    "transactions of several GTID domains are written: a replica answers reads once it has all of them, whatever tables they are for"
                        .to_owned(),
                ),
                () => None,
            },
        }
    }

    fn picture_of(&self, member: &Arc<Member>, topology: Topology) -> pumasi_status::Member {
        let state = member.state();
        let primary = topology.primary == Some(member.number);
        let following = !primary && state.joined == topology.epoch;
        let word = match () {
            () if !state.reachable => "unreachable",
            () if state.drained => "drained",
            () if primary => "serving",
            () if following => "following",
            () => "not following",
        };
        let trouble = match &self.daemons {
            // Why a server of ours is not there is in its own log.
            Some(daemons) if !state.reachable => [state.trouble, Some(daemons.last_words(member.number))],
            _ => [state.trouble, None],
        };
        let trouble: Vec<String> = trouble.into_iter().flatten().filter(|text| !text.is_empty()).collect();
        pumasi_status::Member {
            name: member.name.clone(),
            address: member.target.address(),
            role: if primary { "primary" } else { "replica" }.into(),
            state: word.into(),
            weight: member.upstream.weight(),
            applied: following.then(|| member.applied()),
            lag_transactions: following.then(|| self.positions.goal().saturating_sub(member.applied())),
            lag_ms: state.lag_ms.filter(|_| following),
            semi_sync: primary && state.semi_sync,
            trouble: (!trouble.is_empty()).then(|| trouble.join("; ")),
            objections: state.objections,
        }
    }
}
