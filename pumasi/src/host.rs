//! The machine from /proc: what everything on it uses together.

use std::fs;

use pumasi_status::Host;

/// Totals since the machine started, and what is in use now. Reads eight short files; 0 is what the system does not tell.
pub fn picture() -> Host {
    let tick_ms = 1000 / rustix::param::clock_ticks_per_second().max(1);
    let mut host = Host::default();
    take_cpu(&mut host, &read("/proc/stat"), tick_ms);
    take_memory(&mut host, &read("/proc/meminfo"));
    take_disks(&mut host, &read("/proc/diskstats"));
    take_network(&mut host, &read("/proc/net/dev"));
    take_sockets(&mut host, &read("/proc/net/sockstat"), &read("/proc/net/sockstat6"));
    let files = numbers(&read("/proc/sys/fs/file-nr"));
    host.files = files.first().copied().unwrap_or(0);
    host.files_max = files.get(2).copied().unwrap_or(0);
    if let [first, last] = numbers(&read("/proc/sys/net/ipv4/ip_local_port_range"))[..] {
        host.ports = (last + 1).saturating_sub(first);
    }
    host
}

/// proc_stat(5): `cpu  user nice system idle iowait irq softirq steal ...`, then a line per core.
fn take_cpu(host: &mut Host, text: &str, tick_ms: u64) {
    host.cores = text.lines().filter(|line| line.starts_with("cpu") && !line.starts_with("cpu ")).count() as u64;
    let Some(all) = text.lines().find_map(|line| line.strip_prefix("cpu ")) else { return };
    let ticks = numbers(all);
    let ms = |places: &[usize]| places.iter().filter_map(|place| ticks.get(*place)).sum::<u64>() * tick_ms;
    host.cpu_user_ms = ms(&[0, 1]);
    host.cpu_system_ms = ms(&[2, 5, 6]);
    host.cpu_idle_ms = ms(&[3]);
    host.cpu_iowait_ms = ms(&[4]);
    host.cpu_steal_ms = ms(&[7]);
}

/// proc_meminfo(5), in kB that are KiB.
fn take_memory(host: &mut Host, text: &str) {
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| numbers(line).first().copied()).unwrap_or(0) * 1024
    };
    host.memory_bytes = bytes("MemTotal:");
    host.memory_available_bytes = bytes("MemAvailable:");
}

/// The kernel's Documentation/admin-guide/iostats.rst: number, number, name, reads, merged, sectors, ms, writes, merged, sectors, ms ...
/// A partition's work is its disk's as well, so what lies in another name is left out (`sda1` in `sda`, `nvme0n1p2` in `nvme0n1`).
fn take_disks(host: &mut Host, text: &str) {
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
    let names: Vec<&str> = lines.iter().filter_map(|fields: &Vec<&str>| fields.get(2).copied()).collect();
    for fields in &lines {
        let Some(name) = fields.get(2) else { continue };
        let made_up = ["loop", "ram", "zram", "dm-", "md"].iter().any(|prefix| name.starts_with(prefix));
        if made_up || names.iter().any(|other| other != name && name.starts_with(other)) {
            continue;
        }
        let number = |place: usize| fields.get(place).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        host.disk_operations += number(3) + number(7);
        host.disk_ms += number(6) + number(10);
    }
}

/// proc_pid_net(5), `dev`: `name: bytes packets errs drop fifo frame compressed multicast bytes ...`, received first.
fn take_network(host: &mut Host, text: &str) {
    for (name, counts) in text.lines().filter_map(|line| line.split_once(':')) {
        if name.trim() != "lo" {
            let counts = numbers(counts);
            host.network_in_bytes += counts.first().copied().unwrap_or(0);
            host.network_out_bytes += counts.get(8).copied().unwrap_or(0);
        }
    }
}

/// proc_pid_net(5), `sockstat`: `TCP: inuse 5 orphan 0 tw 2 alloc 7 mem 1`; IPv6 has a table of its own, and its TIME_WAIT is in the first.
fn take_sockets(host: &mut Host, text: &str, text6: &str) {
    let of = |text: &str, family: &str, word: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(family))?;
        let mut words = line.split_ascii_whitespace().skip_while(|found| *found != word).skip(1);
        words.next()?.parse::<u64>().ok()
    };
    host.tcp_sockets = of(text, "TCP:", "inuse").unwrap_or(0) + of(text6, "TCP6:", "inuse").unwrap_or(0);
    host.tcp_time_wait = of(text, "TCP:", "tw").unwrap_or(0);
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The whole numbers of a text; units between them are passed over.
fn numbers(text: &str) -> Vec<u64> {
    text.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_and_waiting_are_told_apart_from_work() {
        let mut host = Host::default();
        take_cpu(&mut host, "cpu  100 5 50 1000 20 3 4 7 0 0\ncpu0 50 5 25 500 10 3 4 7 0 0\ncpu1 50 0 25 500 10 0 0 0 0 0\nintr 1\n", 10);
        assert_eq!((host.cores, host.cpu_user_ms, host.cpu_system_ms), (2, 1050, 570));
        assert_eq!((host.cpu_idle_ms, host.cpu_iowait_ms, host.cpu_steal_ms), (10_000, 200, 70));
    }

    #[test]
    fn a_partition_does_not_count_twice() {
        let mut host = Host::default();
        take_disks(
            &mut host,
            "   8 0 sda 10 0 80 5 20 0 160 15 0 20 20\n   8 1 sda1 9 0 72 4 19 0 152 14 0 18 18\n   7 0 loop0 4 0 8 1 0 0 0 0 0 1 1\n",
        );
        assert_eq!((host.disk_operations, host.disk_ms), (30, 20));
    }

    #[test]
    fn sockets_and_interfaces_are_read_by_name() {
        let mut host = Host::default();
        take_sockets(&mut host, "sockets: used 99\nTCP: inuse 5 orphan 0 tw 2 alloc 7 mem 1\nUDP: inuse 1 mem 0\n", "TCP6: inuse 3\n");
        assert_eq!((host.tcp_sockets, host.tcp_time_wait), (8, 2));
        take_network(
            &mut host,
            "Inter-| Receive | Transmit\n face |bytes packets|bytes\n    lo: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n  eth0:70 1 0 0 0 0 0 0 30 1 0 0 0 0 0 0\n",
        );
        assert_eq!((host.network_in_bytes, host.network_out_bytes), (70, 30));
    }

    #[test]
    fn this_machine_is_seen() {
        let host = picture();
        assert!(host.cores > 0 && host.cpu_user_ms > 0 && host.memory_bytes > host.memory_available_bytes, "{host:?}");
        assert!(host.files > 0 && host.ports > 0, "{host:?}");
    }
}
