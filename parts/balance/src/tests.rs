use std::{collections::BTreeMap, num::NonZeroU32};

use super::*;

// === choosing ===

#[test]
fn round_robin_takes_turns() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1, 1, 1]), Instant::now());
    let names: Vec<String> = (0..6).map(|_| use_one(&pool, now)).collect();
    assert_eq!(names, ["u0", "u1", "u2", "u0", "u1", "u2"]);
}

#[test]
fn weighted_round_robin_gives_each_its_share_in_every_stretch() {
    let (pool, now) = (pool(Policy::RoundRobin, &[5, 1, 1]), Instant::now());
    let names: Vec<String> = (0..7000).map(|_| use_one(&pool, now)).collect();
    for stretch in names.windows(7) {
        let heavy = stretch.iter().filter(|name| *name == "u0").count();
        assert!((4..=6).contains(&heavy), "{heavy} of 7 went to weight 5 of 7: {stretch:?}");
    }
    assert_counts(&names, &[("u0", 5000), ("u1", 1000), ("u2", 1000)], 1);
}

#[test]
fn whoever_comes_late_to_round_robin_collects_no_arrears() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1, 1]), Instant::now());
    (0..1000).for_each(|_| drop(use_one(&pool, now)));
    pool.join(upstream("late", 1));
    let names: Vec<String> = (0..300).map(|_| use_one(&pool, now)).collect();
    assert_counts(&names, &[("u0", 100), ("u1", 100), ("late", 100)], 1);
}

#[test]
fn a_changed_weight_counts_from_the_next_request_on() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1, 1]), Instant::now());
    (0..100).for_each(|_| drop(use_one(&pool, now)));
    pool.set_weight(&pool.upstreams()[0], 3);
    let names: Vec<String> = (0..400).map(|_| use_one(&pool, now)).collect();
    assert_counts(&names, &[("u0", 300), ("u1", 100)], 2);
}

#[test]
fn least_in_flight_balances_load_per_weight() {
    let (pool, now) = (pool(Policy::LeastInFlight, &[1, 2, 3]), Instant::now());
    let _leases: Vec<Lease> = (0..60).map(|_| lease(&pool, now)).collect();
    let load: Vec<u32> = pool.upstreams().iter().map(|u| u.in_flight()).collect();
    assert_eq!(load, [10, 20, 30]);
}

#[test]
fn an_idle_pool_is_used_in_turn_by_least_in_flight() {
    let (pool, now) = (pool(Policy::LeastInFlight, &[1, 1, 1]), Instant::now());
    let names: Vec<String> = (0..300).map(|_| use_one(&pool, now)).collect();
    assert_counts(&names, &[("u0", 100), ("u1", 100), ("u2", 100)], 0);
}

#[test]
fn power_of_two_shares_evenly_among_equals() {
    let (pool, now) = (pool(Policy::PowerOfTwo, &[1, 1, 1, 1]), Instant::now());
    let _leases: Vec<Lease> = (0..400).map(|_| lease(&pool, now)).collect();
    for upstream in pool.upstreams().iter() {
        assert!((95..=105).contains(&upstream.in_flight()), "{upstream:?}");
    }
}

/// Two upstreams at 10 ms, one at 100 ms, ten requests always under way: the slow one gets about a tenth of what a fast one gets.
#[test]
fn power_of_two_leaves_the_slow_to_the_few() {
    let (pool, start) = (pool(Policy::PowerOfTwo, &[1, 1, 1]), Instant::now());
    let mut ends: BTreeMap<(Duration, usize), Lease> = BTreeMap::new();
    let mut served: BTreeMap<String, u32> = BTreeMap::new();
    let mut clock = Duration::ZERO;
    for number in 0..5000 {
        let lease = lease(&pool, start + clock);
        let takes = Duration::from_millis(if lease.upstream().name == "u2" { 100 } else { 10 });
        ends.insert((clock + takes, number), lease);
        if ends.len() >= 10 {
            let ((at, _), lease) = ends.pop_first().unwrap();
            clock = clock.max(at);
            *served.entry(lease.upstream().name.clone()).or_default() += 1;
            let latency = Duration::from_micros(pool.micros(start + at) - lease_start(&lease));
            lease.end(Outcome::Ok { latency }, start + at);
        }
    }
    let (fast, slow) = (served["u0"].min(served["u1"]), served["u2"]);
    assert!(slow * 5 < fast, "{served:?}");
    assert!(slow > 0, "the slow one is still asked now and then: {served:?}");
}

#[test]
fn a_key_stays_with_its_member_while_that_is_up() {
    for by in [Table::Ring, Table::Maglev, Table::Rendezvous] {
        let (pool, now) = (pool(Policy::Hash { by, bound: Bounded::Unbounded }, &[1; 4]), Instant::now());
        let owners = |pool: &Arc<Pool>| -> Vec<String> { (0..2000).map(|n| use_key(pool, key_of(n), now)).collect() };
        let before = owners(&pool);
        for name in ["u0", "u1", "u2", "u3"] {
            let count = before.iter().filter(|owner| *owner == name).count();
            assert!((300..=700).contains(&count), "{by:?}: {name} owns {count} of 2000");
        }
        let sick = eject(&pool, "u2", now);
        let during = owners(&pool);
        assert!(before.iter().zip(&during).all(|(a, b)| a == b || a == "u2"), "{by:?}: only the keys of u2 move");
        assert!(!during.contains(&"u2".into()));
        pool.drain(&sick, now);
        pool.undrain(&sick, now);
        assert_eq!(owners(&pool), before, "{by:?}: they come back");
    }
}

#[test]
fn a_hot_key_fills_its_owner_to_the_bound_and_then_the_others() {
    let policy = Policy::Hash { by: Table::Ring, bound: Bounded::Percent(150) };
    let (pool, now) = (pool(policy, &[1; 4]), Instant::now());
    let leases: Vec<Choice> = (0..400).map(|_| pool.choose(Some(7), &[], now)).collect();
    let mut load: Vec<u32> = pool.upstreams().iter().map(|u| u.in_flight()).collect();
    load.sort();
    assert_eq!((load, leases.len()), (vec![0, 100, 150, 150], 400), "one and a half fair shares each, as far as they go");
}

#[test]
fn a_retry_goes_elsewhere_until_all_were_tried() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1, 1]), Instant::now());
    let first = lease(&pool, now).upstream().id();
    let Choice::Use(second) = pool.choose(None, &[first], now) else { panic!() };
    assert_ne!(second.upstream().id(), first);
    let all = [first, second.upstream().id()];
    assert!(matches!(pool.choose(None, &all, now), Choice::Nobody(Nobody::AllTried)));
}

#[test]
fn an_empty_pool_and_a_draining_pool_say_so() {
    let (pool, now) = (pool(Policy::RoundRobin, &[]), Instant::now());
    assert!(matches!(pool.choose(None, &[], now), Choice::Nobody(Nobody::Empty)));
    pool.join(upstream("only", 1));
    pool.drain(&pool.upstreams()[0], now);
    assert!(matches!(pool.choose(None, &[], now), Choice::Nobody(Nobody::Draining)));
    pool.undrain(&pool.upstreams()[0], now);
    assert_eq!(use_one(&pool, now), "only");
}

#[test]
fn a_member_that_left_gets_nothing_and_keeps_what_it_has() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1, 1]), Instant::now());
    let lease = lease(&pool, now);
    pool.leave(lease.upstream());
    assert_eq!((0..10).filter(|_| use_one(&pool, now) == lease.upstream().name).count(), 0);
    assert_eq!(lease.upstream().in_flight(), 1);
    let upstream = lease.upstream().clone();
    lease.end(ok(), now);
    assert_eq!(upstream.in_flight(), 0);
}

#[test]
fn a_bound_session_returns_to_its_member_while_that_is_up() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1, 1]), Instant::now());
    assert_eq!(pool.choose_member("u1", now).unwrap().upstream().name, "u1");
    assert!(pool.choose_member("u7", now).is_none());
    pool.drain(&pool.upstreams()[1], now);
    assert!(pool.choose_member("u1", now).is_none());
}

// === health ===

#[test]
fn failures_in_a_row_eject_and_time_brings_one_trial() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1, 1]), Instant::now());
    let sick = eject(&pool, "u0", now);
    assert!((0..10).all(|_| use_one(&pool, now) == "u1"));

    let later = now + Duration::from_secs(6);
    let trial = lease(&pool, later);
    assert_eq!(trial.upstream().name, "u0");
    assert_eq!(sick.health(), Health::Probing);
    assert!((0..10).all(|_| use_one(&pool, later) == "u1"), "one trial at a time");
    let change = trial.end(ok(), later).unwrap();
    assert_eq!((change.from, change.to), (Health::Probing, Health::NEW));
    assert!((0..10).any(|_| use_one(&pool, later) == "u0"));
}

#[test]
fn a_failed_trial_waits_another_interval() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1, 1]), Instant::now());
    eject(&pool, "u0", now);
    let later = now + Duration::from_secs(6);
    lease(&pool, later).end(Outcome::Failed, later);
    assert!((0..10).all(|_| use_one(&pool, later + Duration::from_secs(4)) == "u1"));
    assert_eq!(lease(&pool, later + Duration::from_secs(6)).upstream().name, "u0");
}

#[test]
fn a_trial_whose_client_left_is_repeated_at_once() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1, 1]), Instant::now());
    eject(&pool, "u0", now);
    let later = now + Duration::from_secs(6);
    drop(lease(&pool, later));
    assert_eq!(lease(&pool, later).upstream().name, "u0");
}

#[test]
fn a_success_in_between_forgives() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1]), Instant::now());
    for outcome in [Outcome::Failed, Outcome::Failed, ok(), Outcome::Failed, Outcome::Failed] {
        assert_eq!(lease(&pool, now).end(outcome, now), None);
    }
    assert!(lease(&pool, now).end(Outcome::Failed, now).is_some());
}

#[test]
fn only_so_much_of_a_pool_is_ejected() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1; 5]), Instant::now());
    pool.set_settings(Settings { ejected_percent_max: 40, ..pool.settings() });
    for _ in 0..100 {
        lease(&pool, now).end(Outcome::Failed, now);
    }
    let out = pool.upstreams().iter().filter(|u| !u.health().takes_requests()).count();
    assert_eq!(out, 2);
}

#[test]
fn when_all_are_out_all_are_tried_and_the_first_success_counts() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1, 1]), Instant::now());
    pool.set_settings(Settings { ejected_percent_max: 100, ..pool.settings() });
    eject(&pool, "u0", now);
    eject(&pool, "u1", now);
    let names: Vec<String> = (0..4).map(|_| abandon_one(&pool, now)).collect();
    assert!(names.contains(&"u0".into()) && names.contains(&"u1".into()), "{names:?}");
    let lease = lease(&pool, now);
    let upstream = lease.upstream().clone();
    lease.end(ok(), now);
    assert_eq!(upstream.health(), Health::NEW);
}

#[test]
fn where_probes_run_they_bring_members_back_and_requests_do_not() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1, 1]), Instant::now());
    pool.set_settings(Settings { probed: true, ..pool.settings() });
    let sick = eject(&pool, "u0", now);
    let later = now + Duration::from_secs(6);
    assert!((0..10).all(|_| use_one(&pool, later) == "u1"));
    assert_eq!(pool.probed(&sick, true, now), None, "its time is not over");
    assert!(pool.probed(&sick, true, later).is_some());
    assert_eq!(sick.health(), Health::NEW);
}

#[test]
fn failing_probes_eject_however_well_requests_do() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1, 1]), Instant::now());
    let sick = pool.upstreams()[0].clone();
    for _ in 0..3 {
        (0..4).for_each(|_| drop(use_one(&pool, now)));
        pool.probed(&sick, false, now);
    }
    assert_eq!(sick.health().word(), "ejected");
}

#[test]
fn a_slow_start_grows_to_the_whole_share() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1]), Instant::now());
    pool.set_settings(Settings { slow_start: Duration::from_secs(10), ..pool.settings() });
    use_one(&pool, now);
    let warm = now + Duration::from_secs(20);
    pool.join(upstream("new", 1));
    let share = |at: Instant| (0..1100).filter(|_| use_one(&pool, at) == "new").count();
    assert!((90..=110).contains(&share(warm)), "a tenth at first");
    let half = share(warm + Duration::from_secs(5));
    assert!((350..=380).contains(&half), "half a weight against a whole one is a third: {half}");
    assert!((545..=555).contains(&share(warm + Duration::from_secs(10))));
}

// === places ===

#[test]
fn the_cap_holds_and_a_freed_place_calls_the_queue() {
    let (pool, now) = (pool(Policy::LeastInFlight, &[1, 1]), Instant::now());
    pool.set_settings(Settings { concurrency_max: NonZeroU32::new(2), ..pool.settings() });
    let mut leases: Vec<Lease> = (0..4).map(|_| lease(&pool, now)).collect();
    assert!(matches!(pool.choose(None, &[], now), Choice::Full));

    let mut ticket = pool.queue().enter().unwrap();
    leases.pop().unwrap().end(ok(), now);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::pin!(ticket.turn()).poll(&mut context).is_ready());
    assert!(matches!(pool.choose(None, &[], now), Choice::Use(_)));
}

#[test]
fn places_and_counts_are_exact_under_many_threads() {
    let pool = pool(Policy::LeastInFlight, &[1, 1, 1]);
    pool.set_settings(Settings { concurrency_max: NonZeroU32::new(2), ..pool.settings() });
    let now = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5000 {
                    if let Choice::Use(lease) = pool.choose(None, &[], now) {
                        assert!(lease.upstream().in_flight() <= 2);
                        lease.end(ok(), now);
                    }
                }
            });
        }
    });
    assert_eq!(pool.in_flight(), 0);
}

// === retries ===

#[test]
fn retries_are_a_share_of_first_tries_and_a_few_per_second() {
    let (pool, now) = (pool(Policy::RoundRobin, &[1]), Instant::now());
    pool.set_settings(Settings { retries: RetryShare { percent: 10, per_second: 2 }, ..pool.settings() });
    assert_eq!((0..10).filter(|_| pool.may_retry(now)).count(), 2, "the reserve of this second");
    (0..50).for_each(|_| drop(use_one(&pool, now)));
    assert_eq!((0..10).filter(|_| pool.may_retry(now)).count(), 5, "a tenth of fifty");
    assert_eq!((0..10).filter(|_| pool.may_retry(now + Duration::from_secs(1))).count(), 2);
}

// === how these tests speak ===

use std::future::Future;

fn pool(policy: Policy, weights: &[u32]) -> Arc<Pool> {
    let pool = Pool::with_settings("app", Settings { policy, ..Settings::default() });
    for (number, weight) in weights.iter().enumerate() {
        pool.join(upstream(&format!("u{number}"), *weight));
    }
    Arc::new(pool)
}

fn upstream(name: &str, weight: u32) -> Arc<Upstream> {
    Arc::new(Upstream::new(name, "127.0.0.1:80".parse().unwrap(), weight, None))
}

fn ok() -> Outcome {
    Outcome::Ok { latency: Duration::from_millis(1) }
}

fn lease(pool: &Arc<Pool>, now: Instant) -> Lease {
    match pool.choose(None, &[], now) {
        Choice::Use(lease) => lease,
        other => panic!("{other:?}"),
    }
}

fn lease_start(lease: &Lease) -> u64 {
    lease.started_us()
}

/// One request that succeeds at once; the name of who served it.
fn use_one(pool: &Arc<Pool>, now: Instant) -> String {
    let lease = lease(pool, now);
    let name = lease.upstream().name.clone();
    lease.end(ok(), now);
    name
}

fn use_key(pool: &Arc<Pool>, key: u64, now: Instant) -> String {
    match pool.choose(Some(key), &[], now) {
        Choice::Use(lease) => lease.upstream().name.clone(),
        other => panic!("{other:?}"),
    }
}

fn key_of(n: usize) -> u64 {
    pumasi_ring::hash(format!("/page/{n}").as_bytes())
}

fn abandon_one(pool: &Arc<Pool>, now: Instant) -> String {
    lease(pool, now).upstream().name.clone()
}

/// Fails requests at `name` until it is out.
fn eject(pool: &Arc<Pool>, name: &str, now: Instant) -> Arc<Upstream> {
    for _ in 0..3 {
        pool.choose_member(name, now).expect("up until the third failure").end(Outcome::Failed, now);
    }
    let upstream = pool.upstreams().iter().find(|u| u.name == name).unwrap().clone();
    assert_eq!(upstream.health().word(), "ejected");
    upstream
}

fn assert_counts(names: &[String], expected: &[(&str, usize)], tolerance: usize) {
    for (name, count) in expected {
        let seen = names.iter().filter(|n| n == name).count();
        assert!(seen.abs_diff(*count) <= tolerance, "{name}: {seen} instead of {count}");
    }
}

// === traffic ===

#[test]
fn an_upstream_tells_what_it_was_asked_and_how_it_answered() {
    let (pool, start) = (pool(Policy::RoundRobin, &[1]), Instant::now());
    pool.tick(start);
    lease(&pool, start).end(Outcome::Ok { latency: Duration::from_millis(3) }, start);
    lease(&pool, start).end(Outcome::Failed, start + Duration::from_millis(1));
    // Told while the body still streams, and not again when it ends.
    let mut streaming = lease(&pool, start);
    streaming.observe(ok(), start);
    drop(streaming);
    // The client of this one left before an answer.
    drop(lease(&pool, start));
    let waiting = lease(&pool, start);
    pool.tick(start + Duration::from_secs(1));
    let traffic = pool.upstreams()[0].traffic();
    assert_eq!((traffic.requests_total, traffic.errors_total, traffic.in_flight), (4, 1, 1));
    assert!((traffic.rate - 4.0).abs() < 0.01 && (traffic.success - 0.75).abs() < 0.01, "{traffic:?}");
    assert!((2_900..=3_200).contains(&traffic.latency_us_max), "{traffic:?}");
    drop(waiting);
}
