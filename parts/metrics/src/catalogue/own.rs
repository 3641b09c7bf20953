//! Pumasi's own process, and the machine it runs on.
use super::{Family, Kind};

pub static BUILD: Family = Family {
    name: "pumasi_build_info",
    kind: Kind::Gauge,
    unit: "the constant 1",
    labels: &["version"],
    meaning: "The running version, as a label.",
    remedy: "Nothing to do; join it to other series to see which version they come from.",
};

pub static UPTIME: Family = Family {
    name: "pumasi_uptime_seconds",
    kind: Kind::Gauge,
    unit: "seconds",
    labels: &[],
    meaning: "Time since Pumasi started.",
    remedy: "A drop is a restart: the events page and the log say why.",
};

pub static CPU: Family = Family {
    name: "pumasi_cpu_seconds_total",
    kind: Kind::Counter,
    unit: "seconds",
    labels: &[],
    meaning: "CPU time of Pumasi's own process, user and system.",
    remedy: "Near one second per second and core, Pumasi itself is the limit: look at which tier's rate grew.",
};

pub static MEMORY: Family = Family {
    name: "pumasi_memory_bytes",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &[],
    meaning: "Resident memory of Pumasi's own process.",
    remedy: "Compare with the budgets of pages and results; lower them if the machine is short.",
};

pub static DESCRIPTORS: Family = Family {
    name: "pumasi_descriptors",
    kind: Kind::Gauge,
    unit: "descriptors",
    labels: &[],
    meaning: "Files and sockets that Pumasi's own process has open.",
    remedy: "Near its bound no further client is accepted: raise LimitNOFILE of the service, or ulimit -n.",
};

pub static DESCRIPTORS_MAX: Family = Family {
    name: "pumasi_descriptors_max",
    kind: Kind::Gauge,
    unit: "descriptors",
    labels: &[],
    meaning: "How many files and sockets Pumasi's own process may have open.",
    remedy: "Set by LimitNOFILE of the service, or ulimit -n.",
};

pub static HOST_CORES: Family = Family {
    name: "pumasi_host_cores",
    kind: Kind::Gauge,
    unit: "cores",
    labels: &[],
    meaning: "Cores of the machine.",
    remedy: "Nothing to do by itself.",
};

pub static HOST_CPU: Family = Family {
    name: "pumasi_host_cpu_seconds_total",
    kind: Kind::Counter,
    unit: "seconds",
    labels: &["mode"],
    meaning: "CPU time of the whole machine over all cores: user, system, iowait, steal, idle.",
    remedy: "Little idle: the machine is full, more workers will not help. Growing steal: other machines on the same hardware take it. Growing iowait: look at the disk.",
};

pub static HOST_MEMORY: Family = Family {
    name: "pumasi_host_memory_bytes",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &[],
    meaning: "Memory of the machine.",
    remedy: "Nothing to do by itself.",
};

pub static HOST_MEMORY_AVAILABLE: Family = Family {
    name: "pumasi_host_memory_available_bytes",
    kind: Kind::Gauge,
    unit: "bytes",
    labels: &[],
    meaning: "Memory that programs can still have without swapping.",
    remedy: "Below a tenth of the machine's: fewer workers, or smaller budgets of pages and results.",
};

pub static HOST_DISK_OPERATIONS: Family = Family {
    name: "pumasi_host_disk_operations_total",
    kind: Kind::Counter,
    unit: "operations",
    labels: &[],
    meaning: "Reads and writes that the machine's disks have completed.",
    remedy: "Nothing to do by itself; the divisor of the time below.",
};

pub static HOST_DISK_SECONDS: Family = Family {
    name: "pumasi_host_disk_seconds_total",
    kind: Kind::Counter,
    unit: "seconds",
    labels: &[],
    meaning: "Time from asking a disk to its answer, summed over operations.",
    remedy: "Divided by the operations it is what one waits: above 10 ms on a solid-state disk, it is overloaded or failing.",
};

pub static HOST_NETWORK: Family = Family {
    name: "pumasi_host_network_bytes_total",
    kind: Kind::Counter,
    unit: "bytes",
    labels: &["direction"],
    meaning: "Bytes over all interfaces but the loopback: in, out.",
    remedy: "Near what the line can carry: compress (edge.route.compress), or keep pages closer to the clients.",
};

pub static HOST_FILES: Family = Family {
    name: "pumasi_host_files",
    kind: Kind::Gauge,
    unit: "descriptors",
    labels: &[],
    meaning: "Open files of the whole machine.",
    remedy: "Near its bound every program fails: raise fs.file-max.",
};

pub static HOST_FILES_MAX: Family = Family {
    name: "pumasi_host_files_max",
    kind: Kind::Gauge,
    unit: "descriptors",
    labels: &[],
    meaning: "How many files the machine can have open.",
    remedy: "Set by fs.file-max.",
};

pub static HOST_TCP: Family = Family {
    name: "pumasi_host_tcp_sockets",
    kind: Kind::Gauge,
    unit: "sockets",
    labels: &["state"],
    meaning: "TCP sockets of the machine: in use, or waiting for their last packets (time_wait).",
    remedy: "Many in time_wait: somebody opens a connection per request; see pumasi_upstream_connects_total.",
};

pub static HOST_PORTS: Family = Family {
    name: "pumasi_host_ports",
    kind: Kind::Gauge,
    unit: "ports",
    labels: &[],
    meaning: "Local ports that outgoing connections can have.",
    remedy: "With as many sockets to one address no further connection can be opened: keep connections, or widen net.ipv4.ip_local_port_range.",
};
