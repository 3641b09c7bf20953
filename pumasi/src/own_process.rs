//! What Pumasi's own process costs, from /proc.

use std::fs;

/// User and system time, resident memory, open files and sockets; zero where /proc does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    pub cpu_ms: u64,
    pub memory_bytes: u64,
    pub descriptors: u64,
    pub descriptors_max: u64,
}

pub fn cost() -> Cost {
    let ticks_per_second = rustix::param::clock_ticks_per_second().max(1);
    let cpu_ms =
        fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_ticks(&stat)).map_or(0, |ticks| ticks * 1000 / ticks_per_second);
    let pages = fs::read_to_string("/proc/self/statm").ok().and_then(|statm| statm.split_whitespace().nth(1)?.parse::<u64>().ok());
    Cost {
        cpu_ms,
        memory_bytes: pages.unwrap_or(0) * rustix::param::page_size() as u64,
        descriptors: fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64),
        descriptors_max: rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX),
    }
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
        assert!(cost().memory_bytes > 0 && cost().descriptors > 0 && cost().descriptors_max > 0);
    }
}
