mod interleavings;
mod rules;
mod simulation;

/// A probe's read must not leave the worker in a transaction that no request ends.
#[test]
fn a_probes_window_ends_like_a_requests() {
    let witness = Witness::new();
    let probe = witness.open_for_nobody();
    let moment = witness.moment();
    assert!(!witness.requests_ended_since(moment));
    drop(probe);
    assert!(witness.requests_ended_since(moment));
}
