use super::*;

#[test]
fn bars_are_as_long_as_their_values() {
    let bar = |name: &str, value, spread| Bar { name: name.into(), value, spread, note: String::new(), highlighted: false };
    let bars = vec![bar("one", 50.0, None), bar("two & three", 100.0, Some((90.0, 200.0))), bar("broken", f64::NAN, None)];
    let svg = BarChart { title: "Rungs".into(), description: String::new(), unit: Unit::PerSecond, bars }.svg();
    assert!(svg.contains("width=\"77.5\"") && svg.contains("width=\"155\""), "{svg}");
    assert!(svg.contains("H310M"), "the whisker reaches the longest: {svg}");
    assert!(svg.contains("<desc>one: 50/s. two &amp; three: 100/s. broken: –</desc>"), "{svg}");
    assert!(!svg.contains("NaN"));
}

#[test]
fn no_bars_and_all_zero_are_drawable() {
    for bars in [vec![], vec![Bar { name: "zero".into(), value: 0.0, spread: None, note: "no load".into(), highlighted: true }]] {
        let svg = BarChart { title: "Rungs".into(), description: "d".into(), unit: Unit::Count, bars }.svg();
        assert!(svg.starts_with("<svg") && !svg.contains("NaN") && svg.contains("<desc>d</desc>"));
    }
}
