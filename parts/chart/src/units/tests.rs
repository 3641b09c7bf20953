use super::Unit::{self, *};

#[test]
fn numbers_have_three_figures_and_a_unit() {
    check(Count, 0.0, "0");
    check(Count, 12.0, "12");
    check(Count, 0.256, "0.26");
    check(Count, 1234.0, "1.23 k");
    check(Count, 999.6, "1 k");
    check(Count, 50_050.0, "50 k");
    check(PerSecond, 12_345.0, "12.3 k/s");
    check(Microseconds, 850.0, "850 µs");
    check(Microseconds, 12_400.0, "12.4 ms");
    check(Microseconds, 999_700.0, "1 s");
    check(Microseconds, 1_500_000.0, "1.5 s");
    check(Microseconds, 90_000_000.0, "90 s");
    check(Microseconds, 600_000_000.0, "10 min");
    check(Bytes, 64e6, "64 MB");
    check(Bytes, 512.0, "512 B");
    check(Share, 1.0, "100 %");
    check(Share, 0.99999, "99.99 %");
    check(Share, 0.0, "0 %");
    check(Times, 1.25, "1.25 ×");
    check(Count, f64::NAN, "–");
    check(Count, -0.0, "0");
}

fn check(unit: Unit, value: f64, shown: &str) {
    assert_eq!(unit.show(value), shown, "{value} {unit:?}");
}
