use super::*;
use hdrhistogram::Histogram;

fn check(objectives: &str, errors: f64, expected: &[(&str, &str, bool)]) {
    let mut response = Histogram::<u64>::new(3).unwrap();
    for i in 1..=1000 {
        response.record(i * 1000).unwrap();
    }
    let measured = Measured { response: &response, errors, behind: 0.02, tps: 990.0 };
    let judged: Vec<Judged> = Objective::parse_list(objectives).unwrap().iter().map(|o| o.judge(measured)).collect();
    let judged: Vec<_> = judged.iter().map(|j| (j.objective.as_str(), j.measured.as_str(), j.met)).collect();
    assert_eq!(judged, expected);
}

#[test]
fn objectives_are_judged_by_the_response_time() {
    check("p99=1s,p50=400ms", 0.0, &[("p99 <= 1s", "990ms", true), ("p50 <= 400ms", "500ms", false)]);
    check("errors=0.1%", 0.002, &[("errors <= 0.1%", "0.2%", false)]);
    check("tps=990,behind=1%", 0.0, &[("tps >= 990", "990.0", true), ("behind <= 1%", "2%", false)]);
    check("max=1001ms,mean=500ms", 0.0, &[("max <= 1s", "1s", true), ("mean <= 500ms", "501ms", false)]);
}

#[test]
fn nothing_measured_meets_no_latency_objective() {
    let response = Histogram::<u64>::new(3).unwrap();
    let measured = Measured { response: &response, errors: 0.0, behind: 0.0, tps: 0.0 };
    assert!(!Objective::parse("p99", "1s").unwrap().judge(measured).met);
}

#[test]
fn unknown_objectives_are_named() {
    assert!(Objective::parse_list("p999=1s").unwrap_err().contains("p50 to p99.99"));
    assert!(Objective::parse_list("p99").unwrap_err().contains("p99=300ms"));
    assert!(Objective::parse_list("p99=300").unwrap_err().contains("not a duration"));
}
