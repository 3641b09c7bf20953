use super::*;

#[test]
fn bars_are_as_long_as_their_values() {
    let bar = |name: &str, value, spread| Bar { name: name.into(), value, spread, note: String::new(), highlighted: false };
    let bars = vec![bar("one", 50.0, None), bar("two & three", 100.0, Some((90.0, 200.0))), bar("broken", f64::NAN, None)];
    let svg = BarChart { title: "Rungs".into(), description: String::new(), unit: Unit::PerSecond, scale: Scale::Even, bars }.svg();
    assert!(svg.contains("width=\"77.5\"") && svg.contains("width=\"155\""), "{svg}");
    assert!(svg.contains("H310M"), "the whisker reaches the longest: {svg}");
    assert!(svg.contains("<desc>one: 50/s. two &amp; three: 100/s. broken: –</desc>"), "{svg}");
    assert!(!svg.contains("NaN"));
}

#[test]
fn no_bars_and_all_zero_are_drawable() {
    for bars in [vec![], vec![Bar { name: "zero".into(), value: 0.0, spread: None, note: "no load".into(), highlighted: true }]] {
        let svg = BarChart { title: "Rungs".into(), description: "d".into(), unit: Unit::Count, scale: Scale::Decades, bars }.svg();
        assert!(svg.starts_with("<svg") && !svg.contains("NaN") && svg.contains("<desc>d</desc>"));
    }
}

#[test]
fn a_thousandfold_is_seen_on_decades() {
    let bar = |value| Bar { name: "rung".into(), value, spread: None, note: String::new(), highlighted: true };
    let chart = |bars| BarChart { title: "Rungs".into(), description: String::new(), unit: Unit::PerSecond, scale: Scale::Decades, bars };
    let svg = chart(vec![bar(100.0), bar(1000.0), bar(100_000.0), bar(0.0)]).svg();
    // From 100/s on: three steps of ten.
    assert!(svg.contains("width=\"103.3\"") && svg.contains("width=\"310\""), "{svg}");
    for label in ["100/s<", "1 k/s<", "10 k/s<", "100 k/s<"] {
        assert!(svg.contains(label), "no line at {label} in {svg}");
    }
    assert!(!chart(vec![bar(1000.0)]).svg().contains("NaN"), "one value alone has a scale as well");
}
