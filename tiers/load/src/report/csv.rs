//! The series of a report as comma-separated values: nGrinder's columns first.

use super::Report;
use std::fmt::Write;

/// One line per second, after a line with the columns' names.
pub fn series(report: &Report) -> String {
    let mut out = String::from(
        "second,vusers,tests,errors,mean_test_time_ms,tps,mean_ttfb_ms,response_bytes,planned,late,shed,in_flight,service_mean_ms,p50_ms,p90_ms,p99_ms,max_ms,generator_cpu\n",
    );
    for s in &report.series {
        let tests = s.bands.iter().sum::<u64>();
        let _ = writeln!(
            out,
            "{},{},{tests},{},{:.3},{:.1},{:.3},{},{},{},{},{},{:.3},{:.3},{:.3},{:.3},{:.3},{:.3}",
            s.second,
            s.vusers,
            s.errors,
            s.mean_ms,
            s.tps,
            s.ttfb_mean_ms,
            s.bytes_in,
            s.planned,
            s.late,
            s.shed,
            s.in_flight,
            s.service_mean_ms,
            s.p50,
            s.p90,
            s.p99,
            s.max,
            s.generator_cpu
        );
    }
    out
}
