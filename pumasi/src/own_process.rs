//! What Pumasi's own process costs, from /proc.

use std::fs;

/// CPU time in milliseconds (user and system) and resident memory in bytes; zero where /proc does not tell.
pub fn cost() -> (u64, u64) {
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let cpu_ms =
        fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_ticks(&stat)).map_or(0, |ticks| ticks * 1000 / ticks_per_second);
    let pages = fs::read_to_string("/proc/self/statm").ok().and_then(|statm| statm.split_whitespace().nth(1)?.parse::<u64>().ok());
    (cpu_ms, pages.unwrap_or(0) * rustix::param::page_size() as u64)
}

/// utime and stime of proc(5) `/proc/PID/stat`. The second field is the program's name, which may hold anything, so we count from its end.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        assert_eq!(cpu_ticks("7 (a) b (c)) S 1 1 1 0 -1 0 0 0 0 0 120 34 0 0 20"), Some(154));
        assert!(cost().1 > 0);
    }
}
