use super::*;

#[test]
fn values_are_round_and_reach_the_maximum() {
    assert_eq!(round_values(87.0, 4), [0.0, 25.0, 50.0, 75.0, 100.0]);
    assert_eq!(round_values(100.0, 4), [0.0, 25.0, 50.0, 75.0, 100.0]);
    assert_eq!(round_values(3.0, 4), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(round_values(0.0, 4), [0.0, 0.25, 0.5, 0.75, 1.0]);
    for max in [f64::NAN, f64::INFINITY, -3.0, 1e-9, 1e18, 7.3] {
        let values = round_values(max, 4);
        assert!((2..=6).contains(&values.len()), "{max}: {values:?}");
        assert!(!max.is_finite() || values.last().unwrap() >= &max, "{max}: {values:?}");
    }
}

#[test]
fn seconds_are_round_in_minutes_and_hours() {
    assert_eq!(round_seconds(-3600.0, 0.0, 6), [-3600.0, -3000.0, -2400.0, -1800.0, -1200.0, -600.0, 0.0].map(|s: f64| s));
    assert_eq!(round_seconds(0.0, 60.0, 4), [0.0, 15.0, 30.0, 45.0, 60.0]);
    assert_eq!(round_seconds(-299.0, 0.0, 5), [-240.0, -180.0, -120.0, -60.0, 0.0]);
    assert_eq!(round_seconds(5.0, 5.0, 4), [5.0]);
    assert!(round_seconds(0.0, 1e9, 5).len() <= 6);
}

#[test]
fn seconds_are_written_in_the_largest_whole_unit() {
    let shown = [0.0, 45.0, 90.0, 600.0, -3600.0, 5400.0, 7200.0, 259_200.0].map(show_seconds);
    assert_eq!(shown, ["0 s", "45 s", "90 s", "10 min", "−1 h", "90 min", "2 h", "3 d"]);
}
