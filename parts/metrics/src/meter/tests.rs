use std::time::Duration;

use super::*;

#[test]
fn a_quiet_meter_is_a_success_at_rate_zero() {
    let meter = Meter::new();
    let traffic = meter.traffic();
    assert_eq!((traffic.requests_total, traffic.rate, traffic.success, traffic.latency_us_p99), (0, 0.0, 1.0, 0));
}

#[test]
fn rate_success_and_latency_are_of_the_last_ten_seconds() {
    let (meter, start) = (Meter::new(), Instant::now());
    let second = |n: u64| start + Duration::from_secs(n);
    meter.tick(second(0));
    for now in 1..=5 {
        requests(&meter, 100, 1_000, true);
        meter.tick(second(now));
    }
    let traffic = meter.traffic();
    assert_eq!((traffic.rate, traffic.success, traffic.requests_total), (100.0, 1.0, 500), "five seconds are all there are");
    for now in 6..=15 {
        requests(&meter, 30, 200_000, now % 2 == 0);
        meter.tick(second(now));
    }
    let traffic = meter.traffic();
    assert_eq!((traffic.rate, traffic.success, traffic.requests_total, traffic.errors_total), (30.0, 0.5, 800, 150));
    assert!((200_000..201_600).contains(&traffic.latency_us_p50), "the fast second half-minute ago is out: {traffic:?}");
    (16..=25).for_each(|now| meter.tick(second(now)));
    let traffic = meter.traffic();
    assert_eq!((traffic.rate, traffic.success, traffic.latency_us_max, traffic.requests_total), (0.0, 1.0, 0, 800));
}

#[test]
fn a_late_tick_does_not_invent_a_rate() {
    let (meter, start) = (Meter::new(), Instant::now());
    meter.tick(start);
    requests(&meter, 100, 10, true);
    meter.tick(start + Duration::from_secs(4));
    assert_eq!(meter.traffic().rate, 25.0);
}

#[test]
fn in_flight_is_what_started_and_did_not_end() {
    let meter = Meter::new();
    (0..3).for_each(|_| meter.started());
    assert_eq!(meter.in_flight(), 3);
    meter.finished(10, true);
    meter.abandoned();
    let traffic = meter.traffic();
    assert_eq!((traffic.in_flight, traffic.requests_total, traffic.errors_total), (1, 2, 0));
    assert_eq!(meter.latency_us().count(), 1, "nobody waited for the abandoned one");
}

#[test]
fn threads_lose_no_count() {
    let meter = Meter::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| requests(&meter, 10_000, 5, false));
        }
    });
    let traffic = meter.traffic();
    assert_eq!((traffic.requests_total, traffic.errors_total, traffic.in_flight), (80_000, 80_000, 0));
}

fn requests(meter: &Meter, count: u64, latency_us: u64, ok: bool) {
    for _ in 0..count {
        meter.started();
        meter.finished(latency_us, ok);
    }
}
