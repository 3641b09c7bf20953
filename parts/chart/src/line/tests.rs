use super::*;

fn chart(series: Vec<Series>) -> LineChart {
    let x = XAxis { first_s: -40.0, step_s: 10.0, ago: true };
    LineChart { title: "Requests".into(), description: String::new(), unit: Unit::PerSecond, x, series, reaches: 0.0 }
}

fn line(name: &str, values: &[Option<f64>]) -> Series {
    Series { name: name.into(), shape: Shape::Line(values.to_vec()) }
}

#[test]
fn a_missing_value_interrupts_the_line() {
    let svg = chart(vec![line("rate", &[Some(10.0), Some(20.0), None, Some(f64::NAN), Some(5.0)])]).svg();
    assert!(svg.contains("class=\"line s1\" d=\"M54 104L153.5 40\""), "half height, then full height: {svg}");
    assert!(svg.contains("class=\"line dot s1\" d=\"M452 136h0\""), "a lone value is a dot: {svg}");
}

#[test]
fn it_reads_aloud_what_it_shows() {
    let svg = chart(vec![line("rate", &[Some(10.0), Some(1234.0), Some(500.0)]), line("idle <b>", &[None])]).svg();
    assert!(svg.contains("<title>Requests</title>"), "{svg}");
    assert!(svg.contains("<desc>rate: 500/s at the end, between 10/s and 1.23 k/s. idle &lt;b&gt;: no values yet.</desc>"), "{svg}");
    assert!(svg.contains("role=\"img\"") && !svg.contains("<b>"));
}

#[test]
fn a_band_lies_between_its_values() {
    let band = Series { name: "p50 to p99".into(), shape: Shape::Band(vec![Some((0.0, 20.0)), Some((10.0, 20.0)), None, None, None]) };
    let svg = chart(vec![band]).svg();
    assert!(svg.contains("class=\"area f1\" d=\"M54 40L153.5 40L153.5 104L54 168Z\""), "{svg}");
}

#[test]
fn nothing_to_draw_is_an_empty_grid() {
    for series in [vec![], vec![line("rate", &[])], vec![line("rate", &[None])]] {
        let svg = chart(series).svg();
        assert!(svg.contains("class=\"grid\"") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}

#[test]
fn nothing_carries_a_style_or_a_colour_of_its_own() {
    let svg = chart(vec![line("a", &[Some(1.0)]), line("b", &[Some(2.0)])]).svg();
    assert!(!svg.contains("style=") && !svg.contains('#'), "{svg}");
}
