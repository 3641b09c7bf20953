use super::*;
use crate::catalogue;

#[test]
fn families_stand_together_with_help_and_type() {
    let mut exposition = Exposition::new();
    exposition.add(&catalogue::ROUTE_REQUESTS, &["*/*", "app"], 12.0);
    exposition.add(&catalogue::UPTIME, &[], 1.5);
    exposition.add(&catalogue::ROUTE_REQUESTS, &["*/a", "app"], 3.0);
    let meaning = [catalogue::UPTIME.meaning, catalogue::ROUTE_REQUESTS.meaning];
    assert_eq!(
        exposition.finish(),
        format!(
            "# HELP pumasi_uptime_seconds {}\n# TYPE pumasi_uptime_seconds gauge\npumasi_uptime_seconds 1.5\n\
             # HELP pumasi_route_requests_total {}\n# TYPE pumasi_route_requests_total counter\n\
             pumasi_route_requests_total{{route=\"*/*\",pool=\"app\"}} 12\n\
             pumasi_route_requests_total{{route=\"*/a\",pool=\"app\"}} 3\n",
            meaning[0], meaning[1]
        )
    );
}

#[test]
fn label_values_are_escaped() {
    let mut exposition = Exposition::new();
    exposition.add(&catalogue::SQL_DIGEST_CALLS, &["main", "SELECT \"a\\b\"\nFROM 냥"], 1.0);
    let text = exposition.finish();
    assert!(text.ends_with("{sql=\"main\",digest=\"SELECT \\\"a\\\\b\\\"\\nFROM 냥\"} 1\n"), "{text}");
}

#[test]
#[should_panic(expected = "pumasi_route_requests_total has the labels")]
fn a_label_too_few_is_our_mistake() {
    Exposition::new().add(&catalogue::ROUTE_REQUESTS, &["*/*"], 1.0);
}
