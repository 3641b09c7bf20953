//! Which upstream a request meets, as the configuration says it. The policies themselves are tested in `pumasi_balance`.
use std::collections::BTreeSet;

use pumasi_config::{BalancePolicy, HashBy};
use pumasi_edge::Edge;

use crate::harness::*;

#[test]
fn requests_with_one_cookie_meet_one_upstream() {
    for policy in [BalancePolicy::Ring, BalancePolicy::Maglev, BalancePolicy::Rendezvous] {
        let (edge, _origins) = site(policy, HashBy::Cookie("session".into()));
        let mut met = BTreeSet::new();
        // Where each one goes depends on the ports of this run; of 100, a third upstream is missed by none in a lifetime (3 x (2/3)^100).
        for session in 0..100 {
            let head = format!("Cookie: a=b; session={session}; c=d\r\n");
            let names: BTreeSet<String> = (0..3).map(|n| ask(&edge, &format!("/{n}"), &head)).collect();
            assert_eq!(names.len(), 1, "{policy:?}: session {session} met {names:?}");
            met.extend(names);
        }
        assert_eq!(met.len(), 3, "{policy:?}: 100 sessions met only {met:?}");
    }
}

#[test]
fn requests_for_one_target_meet_one_upstream() {
    let (edge, _origins) = site(BalancePolicy::Ring, HashBy::Url);
    for path in ["/a", "/b", "/c?d"] {
        let names: BTreeSet<String> = (0..5).map(|_| ask(&edge, path, "")).collect();
        assert_eq!(names.len(), 1, "{path}");
    }
}

#[test]
fn a_client_stays_with_one_upstream() {
    let (edge, _origins) = site(BalancePolicy::Maglev, HashBy::Address);
    let names: BTreeSet<String> = (0..10).map(|n| ask(&edge, &format!("/{n}"), "")).collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn without_what_would_keep_them_together_requests_go_anywhere() {
    let (edge, _origins) = site(BalancePolicy::Ring, HashBy::Header("x-tenant".into()));
    let names: BTreeSet<String> = (0..60).map(|n| ask(&edge, &format!("/{n}"), "")).collect();
    assert_eq!(names.len(), 3);
    let names: BTreeSet<String> = (0..10).map(|n| ask(&edge, &format!("/{n}"), "X-Tenant: t\r\n")).collect();
    assert_eq!(names.len(), 1);
}

fn site(policy: BalancePolicy, hash_by: HashBy) -> (Edge, Vec<Origin>) {
    let origins: Vec<Origin> = ["one", "two", "three"].map(Origin::saying).into();
    let mut setup = setup(&origins.iter().map(|origin| origin.address).collect::<Vec<_>>());
    setup.pools[0].plan.policy = policy;
    setup.pools[0].plan.hash_by = hash_by;
    (setup.start(), origins)
}

fn ask(edge: &Edge, path: &str, lines: &str) -> String {
    let mut client = Peer::connect(edge.addresses()[0]);
    client.write(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
    client.read_answer().content
}
