//! Servers that a test breaks on purpose: each in a network of its own where the machine allows that, so that its cable can be pulled.

use std::process::{Command, Stdio};

use pumasi_test_servers::MariaDb;

use crate::service::signal;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    StopReplica,
    KillPrimary,
    DelayReplica,
    StopPrimary,
    CutReplica,
    CutPrimary,
}

impl Fault {
    pub const ALL: [Fault; 6] =
        [Fault::StopReplica, Fault::KillPrimary, Fault::DelayReplica, Fault::StopPrimary, Fault::CutReplica, Fault::CutPrimary];

    pub fn of_primary(self) -> bool {
        matches!(self, Fault::KillPrimary | Fault::StopPrimary | Fault::CutPrimary)
    }
}

/// MariaDB servers that can follow each other. The first begins as the primary.
pub struct Servers {
    servers: Vec<MariaDb>,
    /// `None` where namespaces are not permitted: a server that is cut off is stopped instead.
    network: Option<Network>,
}

impl Servers {
    pub fn start(count: usize) -> Servers {
        Servers::within(Network::make(count), count)
    }

    /// All on the loopback.
    pub fn together(count: usize) -> Servers {
        Servers::within(None, count)
    }

    fn within(network: Option<Network>, count: usize) -> Servers {
        let servers: Vec<MariaDb> = (0..count)
            .map(|number| {
                let within = network.as_ref().map_or_else(Vec::new, |network| network.enter(number));
                let within: Vec<&str> = within.iter().map(String::as_str).collect();
                let server = MariaDb::within(&within, &borrowed(&options(number)));
                if number == 0 {
                    // Once, by the manual.
                    server.run("SET GLOBAL read_only=0, rpl_semi_sync_master_enabled=1, rpl_semi_sync_slave_enabled=0");
                }
                // On each by itself: not part of what is replicated.
                server.run(
                    "SET sql_log_bin = 0; CREATE DATABASE shop; CREATE USER pumasi@'%' IDENTIFIED BY 'secret'; GRANT ALL ON *.* TO pumasi@'%' WITH GRANT OPTION",
                );
                server
            })
            .collect();
        Servers { servers, network }
    }

    pub fn configuration(&self) -> String {
        self.configuration_with(&self.address(0))
    }

    /// With another address for the first server, behind which it is.
    pub fn configuration_with(&self, first: &str) -> String {
        let url = |address: &str| format!("\"mysql://pumasi:secret@{address}\"");
        let replicas: Vec<String> = (1..self.servers.len()).map(|number| url(&self.address(number))).collect();
        format!(
            "[sql.main]\nlisten = \"{{database}}\"\nprimary = {}\nreplicas = [{}]\n[console]\nlisten = \"{{console}}\"\n",
            url(first),
            replicas.join(", ")
        )
    }

    pub fn server(&self, number: usize) -> &MariaDb {
        &self.servers[number]
    }

    fn address(&self, number: usize) -> String {
        let host = self.network.as_ref().map_or_else(|| "127.0.0.1".to_owned(), |network| network.host(number));
        format!("{host}:{}", self.servers[number].port)
    }

    /// The server that Pumasi calls by that name.
    pub fn index_of(&self, name: &str) -> usize {
        (0..self.servers.len()).find(|number| self.address(*number) == name).expect("one of ours")
    }

    pub fn inflict(&mut self, fault: Fault, number: usize) {
        match fault {
            Fault::StopReplica | Fault::StopPrimary => signal(self.servers[number].id(), "STOP"),
            Fault::KillPrimary => self.servers[number].kill(),
            Fault::DelayReplica => _ = self.servers[number].run("STOP SLAVE SQL_THREAD"),
            Fault::CutReplica | Fault::CutPrimary => match &self.network {
                Some(network) => network.cut(number),
                None => signal(self.servers[number].id(), "STOP"),
            },
        }
    }

    pub fn heal(&mut self, fault: Fault, number: usize) {
        match fault {
            Fault::StopReplica => signal(self.servers[number].id(), "CONT"),
            Fault::DelayReplica => _ = self.servers[number].run("START SLAVE SQL_THREAD"),
            Fault::CutReplica => match &self.network {
                Some(network) => network.join(number),
                None => signal(self.servers[number].id(), "CONT"),
            },
            Fault::KillPrimary => self.restart(number),
            Fault::StopPrimary => {
                // It wakes up and believes that it is the primary still; then somebody restarts it, as a replica.
                signal(self.servers[number].id(), "CONT");
                self.restart(number);
            }
            Fault::CutPrimary => {
                match &self.network {
                    Some(network) => network.join(number),
                    None => signal(self.servers[number].id(), "CONT"),
                }
                self.restart(number);
            }
        }
    }

    fn restart(&mut self, number: usize) {
        self.servers[number].kill();
        self.servers[number].start_again(&borrowed(&options(number)));
    }
}

/// As the manual asks of servers that Pumasi is to promote and demote: its own lines, and what tells these servers apart.
fn options(number: usize) -> Vec<String> {
    let manual = include_str!("../../../docs/sql.md");
    let (_, rest) = manual.split_once("```ini\n").expect("the manual has a block of settings");
    let (block, _) = rest.split_once("```").expect("it ends");
    let written = block.lines().map(|line| line.split('#').next().unwrap_or_default());
    let set = written.filter_map(|line| line.split_once('=')).map(|(name, value)| format!("--{}={}", name.trim(), value.trim()));
    let apart = ["--bind-address=0.0.0.0".to_owned(), "--relay-log=relay".to_owned(), format!("--server-id={}", number + 1)];
    set.chain(apart).collect()
}

fn borrowed(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

/// A bridge on this machine and one namespace per server, joined by a virtual cable. Gone with the value.
struct Network {
    /// Distinguishes it from those of other tests on this machine.
    mark: u32,
    count: usize,
}

impl Network {
    fn make(count: usize) -> Option<Network> {
        let network = Network { mark: std::process::id() % 200 * 250 + 1, count };
        let bridge = network.bridge();
        let made = ip(&format!("link add {bridge} type bridge"))
            && ip(&format!("addr add {}.1/24 dev {bridge}", network.subnet()))
            && ip(&format!("link set {bridge} up"))
            && (0..count).all(|number| {
                let (name, cable) = (network.name(number), network.cable(number));
                ip(&format!("netns add {name}"))
                    && ip(&format!("link add {cable} type veth peer name eth0 netns {name}"))
                    && ip(&format!("link set {cable} master {bridge} up"))
                    && ip(&format!("-n {name} addr add {}/24 dev eth0", network.host(number)))
                    && ip(&format!("-n {name} link set eth0 up"))
                    && ip(&format!("-n {name} link set lo up"))
            });
        if !made {
            eprintln!("network namespaces are not permitted here: servers are stopped instead of cut off");
            return None;
        }
        Some(network)
    }

    fn bridge(&self) -> String {
        format!("pmb{}", self.mark)
    }

    fn name(&self, number: usize) -> String {
        format!("pumasi-{}-{number}", self.mark)
    }

    fn cable(&self, number: usize) -> String {
        format!("pmv{}-{number}", self.mark)
    }

    fn subnet(&self) -> String {
        format!("10.{}.{}", 200 + self.mark / 250 % 50, self.mark / 250)
    }

    fn host(&self, number: usize) -> String {
        format!("{}.{}", self.subnet(), number + 11)
    }

    fn enter(&self, number: usize) -> Vec<String> {
        ["ip", "netns", "exec"].map(str::to_owned).into_iter().chain([self.name(number)]).collect()
    }

    fn cut(&self, number: usize) {
        assert!(ip(&format!("link set {} down", self.cable(number))));
    }

    fn join(&self, number: usize) {
        assert!(ip(&format!("link set {} up", self.cable(number))));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for number in 0..self.count {
            // Its end of the cable goes with it.
            ip(&format!("netns del {}", self.name(number)));
            ip(&format!("link del {}", self.cable(number)));
        }
        ip(&format!("link del {}", self.bridge()));
    }
}

fn ip(words: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(words.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
