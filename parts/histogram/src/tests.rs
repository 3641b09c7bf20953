use proptest::prelude::*;

use super::*;

#[test]
fn buckets_touch_without_gap_or_overlap() {
    let mut next = 0;
    for index in 0..BUCKETS {
        let (low, high) = values_of(index);
        assert_eq!(low, next, "bucket {index} starts where the one before ended");
        assert_eq!((index_of(low), index_of(high)), (index, index), "both ends belong to bucket {index}");
        assert!(high - low < (low / STEPS).max(1), "bucket {index} is narrower than 1/128 of its values");
        next = high + 1;
    }
    assert_eq!(next, VALUE_MAX + 1);
}

#[test]
fn nothing_recorded_reads_as_zero() {
    let empty = Histogram::new().snapshot();
    assert_eq!((empty.count(), empty.sum(), empty.max(), empty.quantile(0.5)), (0, 0, 0, 0));
    assert_eq!(empty.mean(), 0.0);
    assert_eq!(empty.subtract(&empty), empty);
}

#[test]
fn small_values_are_exact() {
    let histogram = Histogram::new();
    (1..=100).for_each(|value| histogram.record(value));
    let all = histogram.snapshot();
    let read = [0.0, 0.01, 0.5, 0.95, 0.99, 0.999, 1.0].map(|q| all.quantile(q));
    assert_eq!(read, [1, 1, 50, 95, 99, 100, 100]);
    assert_eq!((all.count(), all.sum(), all.mean(), all.max()), (100, 5050, 50.5, 100));
    assert_eq!(all.count_at_most(10), 10);
}

#[test]
fn values_past_the_last_bucket_keep_their_maximum() {
    let histogram = Histogram::with_blocks(1);
    histogram.record(u64::MAX);
    let all = histogram.snapshot();
    assert_eq!((all.count(), all.max(), all.quantile(0.5)), (1, u64::MAX, u64::MAX));
}

#[test]
fn a_difference_holds_only_what_came_after() {
    let histogram = Histogram::with_blocks(1);
    histogram.record(9_000);
    let before = histogram.snapshot();
    histogram.record(3);
    histogram.record(5_000);
    let since = histogram.snapshot().subtract(&before);
    assert_eq!((since.count(), since.sum(), since.quantile(0.5)), (2, 5_003, 3));
    assert!((5_000..5_040).contains(&since.max()), "the old maximum is not the interval's: {}", since.max());
    histogram.record(12_345);
    assert_eq!(histogram.snapshot().subtract(&before).max(), 12_345, "a new maximum is exact");
}

#[test]
fn threads_lose_no_value() {
    let histogram = Histogram::with_blocks(2);
    std::thread::scope(|scope| {
        for thread in 0..8_u64 {
            let histogram = &histogram;
            scope.spawn(move || (0..10_000).for_each(|i| histogram.record(thread * 10_000 + i)));
        }
    });
    let all = histogram.snapshot();
    assert_eq!((all.count(), all.sum(), all.max()), (80_000, 80_000 * 79_999 / 2, 79_999));
}

proptest! {
    /// Against the dull model: a sorted vector and nearest rank.
    #[test]
    fn a_quantile_is_never_low_and_less_than_a_step_high(mut values in prop::collection::vec(latency(), 1..400), q in 0.0..=1.0_f64) {
        let mut histogram = Snapshot::default();
        values.iter().for_each(|value| histogram.record(*value));
        values.sort_unstable();
        let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
        let (exact, read) = (values[rank - 1], histogram.quantile(q));
        prop_assert!(read >= exact && (read - exact) * STEPS <= exact, "q {q}: exact {exact}, read {read}");
    }

    #[test]
    fn merging_is_recording_everything_in_one(a in prop::collection::vec(latency(), 0..200), b in prop::collection::vec(latency(), 0..200)) {
        let of = |values: &[u64]| values.iter().fold(Snapshot::default(), |mut s, v| { s.record(*v); s });
        let (mut merged, both) = (of(&a), of(&[a.clone(), b.clone()].concat()));
        merged.merge(&of(&b));
        prop_assert_eq!(&merged, &both);
        let back = both.subtract(&of(&a));
        prop_assert_eq!((back.count(), back.sum()), (b.len() as u64, b.iter().sum::<u64>()));
    }

    #[test]
    fn buckets_rebuild_the_histogram_to_within_their_width(values in prop::collection::vec(latency(), 0..200)) {
        let histogram = values.iter().fold(Snapshot::default(), |mut s, v| { s.record(*v); s });
        let rebuilt = histogram.buckets().fold(Snapshot::default(), |mut s, b| { s.record_n(b.high, b.count); s });
        prop_assert_eq!(rebuilt.count(), histogram.count());
        prop_assert_eq!(rebuilt.quantile(0.5).min(histogram.max()), histogram.quantile(0.5));
    }
}

/// Microseconds to an hour, every magnitude as likely as the next.
fn latency() -> impl Strategy<Value = u64> {
    (0_u32..32).prop_flat_map(|bits| 0..(1_u64 << bits).max(1) + 1).prop_map(|value| value.min(VALUE_MAX))
}
