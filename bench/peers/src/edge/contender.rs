//! The four proxies, each with one thread on the proxies' core, set up to do the same.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path as FilePath, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, ensure};
use pumasi_balance::Pool;
use pumasi_config::{Source, Surroundings};
use pumasi_edge::{Edge, EdgeConfig, PoolConfig};

use super::{Content, DRIVER_CORE, PROXY_CORE, Path, Protocol};
use crate::{
    machine::{self, cpu_ticks},
    process::{Running, free_port, start, wait_for},
};

/// Connections to the origin that each keeps: as many as there are clients in the largest row.
const UPSTREAM_CONNECTIONS: usize = 4096;

/// Room for the stored answers of all sizes, several times over.
const STORE_MB: usize = 256;

/// A proxy under test.
pub struct Contender {
    pub name: &'static str,
    port: u16,
    /// `None`: it speaks no TLS.
    port_tls: Option<u16>,
    running: Running,
}

/// The certificate all of them show, with its key; and both in one file, as HAProxy wants them.
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    both: PathBuf,
}

impl Certificate {
    /// P-256, self-signed. What the handshake costs is not measured: connections last.
    pub fn make(directory: &FilePath) -> Result<Certificate> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let files = Certificate { chain: directory.join("chain.pem"), key: directory.join("key.pem"), both: directory.join("both.pem") };
        fs::write(&files.chain, &chain)?;
        fs::write(&files.key, &key)?;
        fs::write(&files.both, chain + &key)?;
        Ok(files)
    }
}

impl Contender {
    /// `content`: the files of the origin, for who serves them itself.
    pub fn start(
        name: &'static str,
        path: Path,
        directory: &FilePath,
        origin: u16,
        certificate: &Certificate,
        content: &FilePath,
    ) -> Result<Contender> {
        let directory = &directory.join(path.word());
        fs::create_dir_all(directory)?;
        let (port, tls) = (free_port()?, free_port()?);
        let running = match name {
            "nginx" => start_nginx(PROXY_CORE, directory, "proxy", &nginx_configuration(path, port, tls, origin, certificate, content))?,
            "haproxy" => {
                let file = directory.join("haproxy.cfg");
                fs::write(&file, haproxy_configuration(path, port, tls, origin, certificate))?;
                start(PROXY_CORE, "haproxy", &["-db", "-f", &file.to_string_lossy()])?
            }
            "varnish" => {
                let (listen, backend, store) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{origin}"), format!("malloc,{STORE_MB}m"));
                let state = directory.join("varnish").to_string_lossy().into_owned();
                let varnishd = ["-F", "-j", "none", "-a", &listen, "-b", &backend, "-n", &state, "-s", &store];
                start(PROXY_CORE, "varnishd", &[&varnishd[..], &["-p", "thread_pools=1", "-T", "none"]].concat())?
            }
            _ => {
                let file = directory.join("pumasi.toml");
                fs::write(&file, pumasi_configuration(path, port, tls, origin, certificate, content))?;
                let own = std::env::current_exe()?;
                start(PROXY_CORE, &own.to_string_lossy(), &["serve-edge", &file.to_string_lossy()])?
            }
        };
        wait_for(port)?;
        Ok(Contender { name, port, port_tls: (name != "varnish").then_some(tls), running })
    }

    /// Where `content` is to be had by `protocol`; `None` if this proxy does not speak it.
    pub fn url(&self, path: Path, protocol: Protocol, content: Content) -> Option<String> {
        let target = path.target(content);
        match protocol {
            Protocol::Http1 => Some(format!("http://127.0.0.1:{}{target}", self.port)),
            Protocol::Https | Protocol::Http2 => Some(format!("https://127.0.0.1:{}{target}", self.port_tls?)),
        }
    }

    /// CPU time so far of the processes that do the work: nginx's worker is a child.
    pub fn ticks(&self) -> Result<u64> {
        self.processes().map(cpu_ticks).sum()
    }

    /// Memory these processes have in use.
    pub fn resident_kib(&self) -> Result<u64> {
        self.processes().map(machine::resident_kib).sum()
    }

    pub fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        Ok(stream)
    }

    /// Two requests on one connection: status, content, keep-alive.
    pub fn check_answer(&self, path: Path, content: Content) -> Result<()> {
        let (mut stream, target) = (self.connect()?, path.target(content));
        for _ in 0..2 {
            ask(&mut stream, &target, content).with_context(|| format!("{} asked for {target}", self.name))?;
        }
        Ok(())
    }

    fn processes(&self) -> impl Iterator<Item = u32> {
        [self.running.pid()].into_iter().chain(machine::children(self.running.pid()))
    }
}

/// One request, and its answer read to the end and compared.
pub fn ask(stream: &mut TcpStream, target: &str, content: Content) -> Result<()> {
    write!(stream, "GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut buffer = vec![0; 256 << 10];
    while answer.windows(4).position(|w| w == b"\r\n\r\n").is_none_or(|at| answer.len() < at + 4 + content.bytes()) {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the connection was closed");
        answer.extend_from_slice(&buffer[..count]);
        if answer.len() > 1 << 20 {
            // A large one: its head and length are what can go wrong.
            let head = answer.windows(4).position(|w| w == b"\r\n\r\n").context("a head")? + 4;
            let mut left = (head + content.bytes()).saturating_sub(answer.len());
            while left > 0 {
                let count = stream.read(&mut buffer)?;
                ensure!(count > 0 && count <= left, "{left} bytes are missing");
                left -= count;
            }
            break;
        }
    }
    let head = String::from_utf8_lossy(&answer[..answer.len().min(400)]).into_owned();
    ensure!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(b"xxxxxxxx"), "answered {head:?}");
    Ok(())
}

/// The edge as the contender, one thread, until it is stopped: the configuration as users write it.
pub fn serve(file: &str) -> Result<()> {
    let source = Source { name: file.to_owned(), text: fs::read_to_string(file)?, directory: PathBuf::from("/") };
    let loaded =
        pumasi_config::load(&source, &Surroundings { cores: 1, ..Surroundings::default() }).map_err(|problems| anyhow!("{problems}"))?;
    let pools = loaded.plan.pools.into_iter().map(|(name, plan)| PoolConfig { plan, pool: Arc::new(Pool::new(&name)) }).collect();
    let _edge = Edge::start(EdgeConfig { plan: loaded.plan.edge, pools, access_log: Box::new(std::io::sink()), freshness: None })?;
    loop {
        std::thread::park();
    }
}

/// Where the origin's files are.
pub fn content_of(directory: &FilePath) -> PathBuf {
    directory.join("content")
}

/// The origin: files of all sizes, from the page cache.
pub fn start_origin(directory: &FilePath, port: u16) -> Result<Running> {
    let files = content_of(directory);
    fs::create_dir_all(&files)?;
    for content in Content::ALL {
        fs::write(files.join(content.file()), "x".repeat(content.bytes()))?;
    }
    let configuration = format!(
        "{NGINX_HEAD}http {{ {NGINX_PATHS} access_log off; keepalive_requests 100000000; keepalive_timeout 600s; sendfile on; etag off;\n\
         open_file_cache max=100; default_type text/plain;\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; location = / {{ add_header Cache-Control max-age=3600; return 200 \"{}\"; }}\n\
         location / {{ root {}; add_header Cache-Control max-age=3600; }} }} }}\n",
        "x".repeat(Content::Small.bytes()),
        files.display()
    );
    let running = start_nginx(DRIVER_CORE, directory, "origin", &configuration)?;
    wait_for(port)?;
    Ok(running)
}

pub fn start_nginx(core: usize, directory: &FilePath, name: &str, configuration: &str) -> Result<Running> {
    let prefix = directory.join(name);
    fs::create_dir_all(&prefix)?;
    let path = prefix.join("nginx.conf");
    fs::write(&path, configuration)?;
    start(core, "nginx", &["-e", "/dev/null", "-p", &prefix.to_string_lossy(), "-c", &path.to_string_lossy()])
}

/// Lets this process, and so all it starts, have as many descriptors as the system allows: 4,000 connections need 8,000 in a proxy.
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let hard = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard });
}

// === configurations ===

const NGINX_HEAD: &str = "daemon off; worker_processes 1; pid nginx.pid; error_log /dev/null;\nevents { worker_connections 16000; }\n";

const NGINX_PATHS: &str = "client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;";

fn pumasi_configuration(path: Path, port: u16, tls: u16, origin: u16, certificate: &Certificate, content: &FilePath) -> String {
    let pages = if path == Path::Hit { "standard" } else { "off" };
    let pool = format!("[pool.app]\nupstreams = [\"127.0.0.1:{origin}\"]\n");
    let plain = format!("[log]\naccess = \"off\"\n[edge]\nthreads = 1\nlisten = \"127.0.0.1:{port}\"\n");
    match path {
        Path::Proxied | Path::Hit => {}
        Path::Files => return format!("{plain}[[edge.route]]\npath = \"/*\"\nfiles = \"{}\"\n", content.display()),
        Path::Tcp => {
            let plain = plain.replace(&port.to_string(), &tls.to_string());
            return format!(
                "{plain}[[edge.route]]\npath = \"/*\"\npool = \"app\"\n[[edge.tcp]]\nlisten = \"127.0.0.1:{port}\"\npool = \"app\"\n{pool}"
            );
        }
    }
    format!(
        "[log]\naccess = \"off\"\n[edge]\nlisten = \"127.0.0.1:{port}\"\nthreads = 1\n\
         [edge.limits]\nconnections_max = 12000\nupstream_idle_max = {UPSTREAM_CONNECTIONS}\n\
         [edge.pages]\nmemory = \"{STORE_MB}MB\"\nobject_max = \"16MB\"\ncompress = []\n\
         [edge.tls]\nlisten = [\"127.0.0.1:{tls}\"]\n[[edge.tls.certificate]]\nchain = \"{}\"\nkey = \"{}\"\n\
         [[edge.route]]\npath = \"/*\"\npool = \"app\"\npages = \"{pages}\"\n{pool}",
        certificate.chain.display(),
        certificate.key.display()
    )
}

fn nginx_configuration(path: Path, port: u16, tls: u16, origin: u16, certificate: &Certificate, content: &FilePath) -> String {
    if path == Path::Files {
        return format!(
            "{NGINX_HEAD}http {{ {NGINX_PATHS} access_log off; keepalive_requests 100000000; keepalive_timeout 600s; sendfile on; tcp_nopush on;\n\
             open_file_cache max=100; default_type application/octet-stream;\n\
             server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ root {}; }} }} }}\n",
            content.display()
        );
    }
    let (zone, cache) = match path {
        Path::Proxied | Path::Files | Path::Tcp => ("", ""),
        Path::Hit => ("proxy_cache_path c keys_zone=z:10m;", "proxy_cache z;"),
    };
    format!(
        "{NGINX_HEAD}http {{ {NGINX_PATHS} access_log off; keepalive_requests 100000000; keepalive_timeout 600s; {zone}\n\
         ssl_certificate {}; ssl_certificate_key {}; http2_max_requests 100000000;\n\
         upstream app {{ server 127.0.0.1:{origin}; keepalive {UPSTREAM_CONNECTIONS}; keepalive_requests 100000000; }}\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; listen 127.0.0.1:{tls} ssl http2 backlog=4096; location / {{ proxy_pass http://app; \
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host; proxy_max_temp_file_size {}; \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Proto $scheme; {cache} }} }} }}\n",
        certificate.chain.display(),
        certificate.key.display(),
        if path == Path::Hit { "1024m" } else { "0" }
    )
}

fn haproxy_configuration(path: Path, port: u16, tls: u16, origin: u16, certificate: &Certificate) -> String {
    if path == Path::Tcp {
        // Fewer connections than elsewhere: with splice each wants a pipe, and HAProxy does not start without descriptors for all.
        return format!(
            "global\n  nbthread 1\n  maxconn 2000\ndefaults\n  mode tcp\n  option splice-auto\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
             listen f\n  bind 127.0.0.1:{port} backlog 4096\n  server s 127.0.0.1:{origin}\n"
        );
    }
    let (store, rules) = match path {
        Path::Proxied | Path::Files | Path::Tcp => (String::new(), ""),
        Path::Hit => (
            format!("cache c\n  total-max-size {STORE_MB}\n  max-object-size 20000000\n  max-age 3600\n"),
            "  http-request cache-use c\n  http-response cache-store c\n",
        ),
    };
    format!(
        "global\n  nbthread 1\n  maxconn 9000\n{store}defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n\
         \x20 timeout http-keep-alive 60s\n  http-reuse always\n  option forwardfor\nfrontend f\n  bind 127.0.0.1:{port} backlog 4096\n\
         \x20 bind 127.0.0.1:{tls} ssl crt {} alpn h2,http/1.1\n  default_backend b\n\
         backend b\n{rules}  server s 127.0.0.1:{origin} pool-max-conn {UPSTREAM_CONNECTIONS}\n",
        certificate.both.display()
    )
}

/// How a program of the path is called, with its version.
pub fn versions() -> Vec<String> {
    vec![
        machine::version_of("nginx", "-v"),
        machine::version_of("haproxy", "-v"),
        machine::version_of("varnishd", "-V"),
        machine::version_of("wrk", "-v"),
        machine::version_of("h2load", "--version"),
        format!("pumasi {}", env!("CARGO_PKG_VERSION")),
    ]
}

/// A program on the driver's core, run to its end: what it said on standard output.
pub fn drive(program: &str, arguments: &[String]) -> Result<String> {
    let output = Command::new("taskset").args(["-c", &DRIVER_CORE.to_string(), program]).args(arguments).output();
    let output = output.with_context(|| format!("running {program}"))?;
    Ok(String::from_utf8(output.stdout)?)
}
