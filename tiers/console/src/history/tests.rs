use super::*;

const START: u64 = 1_790_000_040;

fn status(requests: u64, p50_us: u64) -> Status {
    let mut status = Status::default();
    status.edge.traffic.requests_total = requests;
    status.edge.traffic.latency_us_p50 = p50_us;
    status.edge.traffic.rate = 5.0;
    status.cpu_ms = requests;
    status
}

#[test]
fn a_second_is_the_difference_of_two_pictures() {
    let mut history = History::in_memory();
    history.take(&status(1_000, 0), START);
    assert_eq!(history.seconds(START, 60).count(), 0, "one picture is no difference yet");
    history.take(&status(1_050, 700), START + 1);
    history.take(&status(1_250, 500), START + 3);
    let seconds: Vec<_> = history.seconds(START + 3, 60).map(|s| (s.unix_s - START, s.rate, s.cpu)).collect();
    assert_eq!(seconds, [(1, 50.0, 0.05), (3, 100.0, 0.1)], "a late picture covers two seconds");
    history.take(&status(10, 500), START + 4);
    assert_eq!(history.seconds(START + 4, 0).next().unwrap().rate, 0.0, "a counter that fell is a restart, not a negative rate");
    assert_eq!(history.best_p50_us(), Some(500.0));
}

#[test]
fn a_minute_averages_rates_and_keeps_the_slowest() {
    let mut history = History::in_memory();
    for second in 0..=121 {
        let p50_us = if second == 30 { 9_000 } else { 100 };
        history.take(&status(second * 10, p50_us), START + second);
    }
    let minutes: Vec<_> = history.minutes(START + 121, 3_600).map(|m| (m.unix_s, m.rate, m.p50_us)).collect();
    assert_eq!(minutes, [(START, 10.0, 9_000.0), (START + 60, 10.0, 100.0)]);
}

#[test]
fn both_rings_are_bounded() {
    let mut history = History::in_memory();
    let week = 8 * 24 * 3_600;
    (0..week).step_by(20).for_each(|second| history.take(&status(second, 1), START + second));
    assert_eq!(history.minutes.len() as u64, MINUTES.slots);
    (0..4_000).for_each(|second| history.take(&status(second, 1), START + week + second));
    assert_eq!(history.seconds.len() as u64, SECONDS.slots);
}

#[test]
fn a_restart_finds_what_was_kept_and_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history");
    let now = START + 7_300;
    let mut history = History::open(&path, START).unwrap();
    (0..=7_300).for_each(|second| history.take(&status(second * 5, 100), START + second));
    let (seconds, minutes) = (history.seconds.clone(), history.minutes.clone());
    assert_eq!((seconds.len(), minutes.len()), (3_600, 121));
    drop(history);
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size <= (SECONDS.slots + MINUTES.slots) * RECORD_BYTES as u64 && size < 1_000_000, "{size}");
    let again = History::open(&path, now).unwrap();
    assert_eq!((&again.seconds, &again.minutes), (&seconds, &minutes));
    let later = History::open(&path, now + 1_800).unwrap();
    assert_eq!(later.seconds.len(), 1_800, "what has left the hour is not shown as new");
    assert_eq!(History::open(&path, START).unwrap().seconds.len(), 0, "nothing from the future after a clock was set back");
}

#[test]
fn damage_costs_the_records_it_hit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("history");
    let mut history = History::open(&path, START).unwrap();
    (0..=100).for_each(|second| history.take(&status(second, 100), START + second));
    let slot = (START + 50) % SECONDS.slots;
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[0xff; 3], slot * RECORD_BYTES as u64 + 20).unwrap();
    let again = History::open(&path, START + 100).unwrap();
    assert_eq!(again.seconds.len(), 99);
    assert!(again.seconds.iter().all(|sample| sample.unix_s != START + 50));
    std::fs::write(&path, "not a history at all, and shorter than a record").unwrap();
    assert_eq!(History::open(&path, START + 100).unwrap().seconds.len(), 0);
}

#[test]
fn a_clock_that_was_set_back_begins_again_from_there() {
    let mut history = History::in_memory();
    (0..100).for_each(|second| history.take(&status(second, 100), START + second));
    (0..10).for_each(|second| history.take(&status(100 + second, 100), START + 50 + second));
    let times: Vec<u64> = history.seconds(START, 3_600).map(|sample| sample.unix_s).collect();
    assert!(times.is_sorted() && times.last() == Some(&(START + 59)), "{times:?}");
}
