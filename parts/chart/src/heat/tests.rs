use super::*;

fn map(columns: Vec<Vec<(u64, u64)>>) -> HeatMap {
    let x = XAxis { first_s: 0.0, step_s: 1.0, ago: false };
    HeatMap { title: "Latency".into(), description: String::new(), x, columns }
}

#[test]
fn one_slow_answer_is_seen_beside_thousands() {
    let svg = map(vec![vec![(1_000, 5_000), (1_100, 5_000), (100_000, 1)], vec![]]).svg();
    let cells: Vec<&str> = svg.split("<rect class=\"").skip(1).map(|cell| cell.split('"').next().unwrap()).collect();
    assert_eq!(cells, ["cell h5", "cell h1"]);
    assert!(svg.contains("<desc>10 k answers, between 1 ms and 147 ms</desc>"), "{svg}");
    assert!(svg.contains(">10 ms</text>"), "{svg}");
}

#[test]
fn extremes_and_emptiness_are_drawable() {
    for columns in [vec![], vec![vec![]], vec![vec![(0, 1), (u64::MAX, u64::MAX / 2)]]] {
        let svg = map(columns).svg();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
