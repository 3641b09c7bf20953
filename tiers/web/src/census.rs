//! Who is running, and what it costs: `/proc/*/stat` (proc_pid_stat(5)), read whole, at most once a second.
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// One line of the process table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    /// User and system time, in clock ticks.
    pub ticks: u64,
    pub resident_pages: u64,
}

/// Memory and CPU of a worker: the application's processes together, the guardian not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Resident memory; pages that the family shares count once per process.
    pub memory_bytes: u64,
    pub cpu_ms: u64,
    /// Files and sockets of that process that has most of them open, and how many it may have.
    pub descriptors: u64,
    pub descriptors_max: u64,
}

/// The last look at the process table.
#[derive(Default)]
pub struct Census {
    taken: Option<Instant>,
    processes: Vec<Process>,
}

const EVERY: Duration = Duration::from_secs(1);

impl Census {
    /// Looks again if the last look is older than a second.
    pub fn refresh(&mut self) {
        if self.taken.is_none_or(|taken| taken.elapsed() >= EVERY) {
            *self = Census::now();
        }
    }

    /// A look of this moment.
    pub fn now() -> Census {
        Census { taken: Some(Instant::now()), processes: processes().collect() }
    }

    /// What the descendants of `guardian` cost together.
    pub fn cost_of_family(&self, guardian: u32) -> Cost {
        let members = self.family_of(guardian);
        let family = self.processes.iter().filter(|process| members.binary_search(&(process.pid as u32)).is_ok());
        let page = rustix::param::page_size() as u64;
        let tick_ms = 1000 / rustix::param::clock_ticks_per_second().max(1);
        let sum = family.fold(Cost::default(), |sum, process| Cost {
            memory_bytes: sum.memory_bytes + process.resident_pages * page,
            cpu_ms: sum.cpu_ms + process.ticks * tick_ms,
            ..sum
        });
        let fullest = members.iter().map(|pid| (descriptors(*pid), *pid)).max();
        let (descriptors, descriptors_max) = fullest.map_or((0, 0), |(open, pid)| (open, descriptors_max(pid)));
        Cost { descriptors, descriptors_max, ..sum }
    }

    /// The descendants of `guardian`.
    pub fn family_of(&self, guardian: u32) -> Vec<u32> {
        let parents: BTreeMap<i32, i32> = self.processes.iter().map(|process| (process.pid, process.parent)).collect();
        let root = guardian as i32;
        parents.keys().filter(|pid| **pid != root && descends(&parents, **pid, root)).map(|pid| *pid as u32).collect()
    }

    /// The worker's own process: the guardian's first child.
    pub fn child_of(&self, guardian: u32) -> Option<u32> {
        self.processes.iter().find(|process| process.parent == guardian as i32).map(|process| process.pid as u32)
    }
}

/// proc_pid_fd(5); 0 for a process that is gone.
fn descriptors(pid: u32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |open| open.count() as u64)
}

/// The soft limit of proc_pid_limits(5), `Max open files  1024  4096  files`; 0 where it does not tell.
fn descriptors_max(pid: u32) -> u64 {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Every process this machine shows us. One that ends while we look is left out.
pub fn processes() -> impl Iterator<Item = Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit))
        .filter_map(|entry| Process::parse(&std::fs::read_to_string(entry.path().join("stat")).ok()?))
}

/// Does `pid` have `root` among its ancestors? `parents` may hold stale or looping entries: the walk is bounded.
pub fn descends(parents: &BTreeMap<i32, i32>, pid: i32, root: i32) -> bool {
    const GENERATIONS_MAX: usize = 64;
    let ancestors = std::iter::successors(Some(pid), |pid| parents.get(pid).copied());
    ancestors.take(GENERATIONS_MAX).any(|ancestor| ancestor == root)
}

impl Process {
    /// `pid (name) state ppid ...`: the name may hold spaces and parentheses, so the fields are counted from its last `)`.
    fn parse(stat: &str) -> Option<Process> {
        let (head, tail) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Process {
            pid: head.split_ascii_whitespace().next()?.parse().ok()?,
            parent: number(1)? as i32,
            ticks: number(11)? + number(12)?,
            resident_pages: number(21)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 30 12 0 0 20 0 1 0 100 1000000 250 18446744073709551615 1 1 0";
        assert_eq!(Process::parse(stat), Some(Process { pid: 42, parent: 7, ticks: 42, resident_pages: 250 }));
        assert_eq!(Process::parse("42 (cut"), None);
    }

    #[test]
    fn a_family_is_found_through_its_generations_and_loops_end() {
        let parents = BTreeMap::from([(10, 1), (11, 10), (12, 11), (20, 1), (30, 31), (31, 30)]);
        assert!(descends(&parents, 12, 10));
        assert!(!descends(&parents, 20, 10));
        assert!(!descends(&parents, 30, 10));
    }

    #[test]
    fn this_process_is_counted() {
        let us = std::process::id() as i32;
        assert!(processes().any(|process| process.pid == us && process.resident_pages > 0));
    }

    #[test]
    fn open_files_are_counted_and_have_a_bound() {
        let us = std::process::id();
        let before = descriptors(us);
        let opened: Vec<_> = (0..50).filter_map(|_| std::fs::File::open("/dev/null").ok()).collect();
        // Other tests of this process open and close some meanwhile, fewer than these.
        assert!(descriptors(us) > before + 20, "{before}, then {}", descriptors(us));
        assert!(descriptors_max(us) >= opened.len() as u64);
        assert_eq!((descriptors(0), descriptors_max(0)), (0, 0));
    }
}
