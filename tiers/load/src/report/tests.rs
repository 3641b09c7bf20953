use super::*;
use crate::{
    run::Ended,
    scenario::{self, Overrides},
    tally::Total,
};
use std::time::{Duration, SystemTime};

fn plan(flags: Overrides) -> Plan {
    scenario::from_url("http://127.0.0.1:9/", "GET", None, &Overrides { lasts: Some(Duration::from_secs(10)), threads: Some(1), ..flags })
        .unwrap()
}

/// Ten seconds of 100 answers each, every tenth of them an error; 5 ms, but the last of each second 50 ms.
fn outcome(plan: &Plan) -> Outcome {
    let mut total = Total::new(1);
    let mut series = Vec::new();
    for second in 0..11 {
        let mut slice = Slice::new(second);
        slice.wall_ns = 1_000_000_000;
        slice.cpu_ns = 100_000_000;
        (slice.planned, slice.successful, slice.errors, slice.ttfb_count) = (100, 90, 10, 100);
        for i in 0..100 {
            let us = if i == 99 { 50_000 } else { 5_000 };
            slice.response.record(us).unwrap();
            if second > 0 {
                total.steps[0].response.record(us).unwrap();
                total.steps[0].service.record(us / 2).unwrap();
            }
        }
        series.push(slice);
    }
    total.planned = 1000;
    (total.steps[0].successful, total.steps[0].errors) = (900, 100);
    total.errors[ErrorKind::Status as usize] = 100;
    total.status[200] = 900;
    total.status[503] = 100;
    total.last_done_ns = plan.model.profile().lasts().as_nanos() as u64;
    Outcome {
        started: SystemTime::UNIX_EPOCH,
        total,
        series,
        generator_cpu: 0.1,
        generator_cpu_max: 0.1,
        ended: Ended::AsPlanned,
        lost: Vec::new(),
    }
}

/// A report for tests of what is done with reports.
pub fn sample() -> Report {
    let plan = plan(Overrides { rate: Some(100.0), ..Overrides::default() });
    Report::of(&plan, &outcome(&plan), Label { id: "20260101-000000".into(), name: "sample".into(), ..Label::default() })
}

#[test]
fn the_figures_are_those_of_the_measured_time() {
    let report = sample();
    assert!(report.valid, "{:?}", report.reasons);
    assert_eq!((report.executed, report.successful, report.errors), (1000, 900, 100));
    assert_eq!((report.run_time_s, report.tps, report.tps_peak, report.rate_planned), (10.0, 90.0, 90.0, 100.0));
    assert!((report.mean_ms - 5.45).abs() < 0.05, "{}", report.mean_ms);
    assert!((report.response.p90 - 5.0).abs() < 0.01 && (report.response.max - 50.0).abs() < 0.1);
    assert_eq!(report.errors_by_kind.iter().collect::<Vec<_>>(), [(&"status".to_string(), &100)]);
    assert_eq!(report.status.iter().collect::<Vec<_>>(), [(&200, &900), (&503, &100)]);
    assert_eq!(report.series.iter().map(|second| second.second).collect::<Vec<_>>(), (-1..10).collect::<Vec<_>>());
}

#[test]
fn a_late_generator_makes_the_report_invalid() {
    let plan = plan(Overrides { rate: Some(100.0), ..Overrides::default() });
    let mut late = outcome(&plan);
    late.total.late = 51;
    let report = Report::of(&plan, &late, Label::default());
    assert!(!report.valid && report.reasons[0].contains("5.1% of the arrivals were sent late"), "{:?}", report.reasons);
}

#[test]
fn a_saturated_generator_makes_the_report_invalid() {
    let plan = plan(Overrides { vusers: Some(10.0), ..Overrides::default() });
    let mut busy = outcome(&plan);
    busy.generator_cpu_max = 0.81;
    let report = Report::of(&plan, &busy, Label::default());
    assert!(!report.valid && report.reasons[0].contains("81% of its core"), "{:?}", report.reasons);
}

#[test]
fn a_rate_that_was_not_reached_is_told() {
    let plan = plan(Overrides { rate: Some(100.0), ..Overrides::default() });
    let mut shedding = outcome(&plan);
    shedding.total.shed = 2;
    let report = Report::of(&plan, &shedding, Label::default());
    assert!(!report.valid && report.reasons[0].contains("998 of 1000 arrivals"), "{:?}", report.reasons);
}

#[test]
fn the_summary_shows_ngrinder_s_fields_first_and_then_percentiles() {
    let text = terminal::summary(&sample(), terminal::Style { colour: false });
    let order =
        ["TPS", "peak TPS", "mean test time", "executed", "successful", "errors", "run time", "1st byte", "p99.99", "error: status"];
    let places: Vec<usize> = order.iter().map(|field| text.find(field).unwrap_or_else(|| panic!("no {field} in\n{text}"))).collect();
    assert!(places.is_sorted(), "{text}");
    assert!(!text.contains('\x1b'));
}

#[test]
fn the_closed_model_says_what_it_hides() {
    let plan = plan(Overrides { vusers: Some(10.0), ..Overrides::default() });
    let report = Report::of(&plan, &outcome(&plan), Label::default());
    assert!(terminal::summary(&report, terminal::Style { colour: false }).contains("stall hides itself"));
}

#[test]
fn csv_has_a_line_per_second_with_as_many_fields_as_names() {
    let text = csv::series(&sample());
    let fields: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
    assert_eq!(fields, vec![fields[0]; 12]);
}

#[test]
fn a_comparison_calls_small_changes_equal_and_names_obstacles() {
    let before = sample();
    let mut after = before.clone();
    after.tps = 92.0;
    after.mean_ms = before.mean_ms / 2.0;
    after.response.p99 = before.response.p99 * 3.0;
    after.valid = false;
    after.reasons = vec!["late".into()];
    let rows = compare::compare(&before, &after);
    let better = |figure: &str| rows.iter().find(|row| row.figure == figure).unwrap().better;
    assert_eq!((better("TPS"), better("mean test time"), better("response p99")), (None, Some(true), Some(false)));
    assert!(compare::obstacles(&before, &after)[0].contains("INVALID: late"));
}

#[test]
fn the_page_holds_everything_and_loads_nothing() {
    let report = sample();
    let page = html::page(&report, Some(&report));
    for part in ["Mean test time", "p99.99", "Compared with", "Errors", "<svg", "prefers-color-scheme"] {
        assert!(page.contains(part), "no {part}");
    }
    let without_namespace = page.replace("http://www.w3.org/2000/svg", "").replace(&report.target, "");
    for outside in ["http://", "https://", "<script", "@import", "url("] {
        assert!(!without_namespace.contains(outside), "the page has {outside}");
    }
}
