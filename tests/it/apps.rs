//! Applications of other languages and protocols behind Pumasi, none of which knows of it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
};

use crate::service::Service;

fn apps() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/apps")
}

/// The application keeps one connection with autocommit off and never ends a transaction that only reads: on a plain database each worker would show
/// its own old snapshot for ever. Automatic mode ends such transactions with their request.
#[test]
fn a_flask_application_under_gunicorn_reads_its_own_writes() {
    let python = std::env::var("PUMASI_TEST_PYTHON").unwrap_or_else(|_| "python3".into());
    let service = Service::run(
        &format!(
            r#"
[edge]
listen = "{{site}}"
[[edge.route]]
path = "/*"
pool = "app"
pages = "automatic"
[pool.app]
command = "exec '{python}' -m gunicorn --no-control-socket --worker-tmp-dir /dev/shm -b 127.0.0.1:$PORT guestbook:app"
directory = "{apps}"
workers = 3
env = {{ DATABASE_HOST = "${{sql.main.host}}", DATABASE_PORT = "${{sql.main.port}}", DATABASE_NAME = "guests" }}
probe = {{ path = "/", every = "1s" }}
[sql.main]
listen = "{{database}}"
engine = "embedded:guests.db"
results = "automatic"
[console]
listen = "{{console}}"
"#,
            apps = apps().display()
        ),
        &[],
    );
    for n in 0..30 {
        let word = format!("손님 {n}");
        assert_eq!(service.post("/", &[("word", &word)]).status, 303, "{}", service.said());
        let page = service.get("/");
        assert!(page.body.ends_with(&word), "after {word:?}: {:?}", page.body);
    }
}

#[test]
fn run_without_a_file_serves_a_node_application() {
    let mut service = Service::run_command(&apps(), &["node", "hello.js"]);
    let mut seen = std::collections::BTreeSet::new();
    service.wait_until("both workers have answered", |service| {
        let answer = service.get("/");
        assert_eq!(answer.status, 200);
        assert!(answer.body.starts_with("hello 127.0.0.1 127.0.0.1:"), "{}", answer.body);
        seen.insert(answer.body.rsplit_once(' ').expect("a process number").1.to_owned());
        seen.len() == 2
    });
    let (status, said) = service.interrupt();
    assert!(status.success(), "{said}");
}

/// A configuration with one fixed upstream.
fn in_front_of(upstream: SocketAddr) -> Service {
    Service::run(
        &format!(
            r#"
[edge]
listen = "{{site}}"
[[edge.route]]
path = "/*"
pool = "app"
[pool.app]
upstreams = ["{upstream}"]
[console]
listen = "{{console}}"
"#
        ),
        &[],
    )
}

#[test]
fn a_websocket_passes_both_ways() {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port");
    let service = in_front_of(upstream.local_addr().expect("bound"));
    let echo = std::thread::spawn(move || {
        for connection in upstream.incoming() {
            // Probes and the like are not WebSockets; the one that is ends the server.
            let Ok(mut socket) = tungstenite::accept(connection.expect("accepted")) else { continue };
            while let Ok(message) = socket.read() {
                if message.is_close() {
                    break;
                }
                socket.send(message).expect("echoed");
            }
            return;
        }
    });
    let address = service.site.strip_prefix("http://").expect("a site");
    let stream = TcpStream::connect(address).expect("the edge listens");
    let (mut socket, answer) = tungstenite::client(format!("ws://{address}/socket"), stream).expect("the upgrade passes");
    assert_eq!(answer.status(), 101);
    for size in [1, 125, 126, 65_535, 65_536, 1 << 20] {
        let message = tungstenite::Message::binary(vec![size as u8; size]);
        socket.send(message.clone()).expect("sent");
        assert_eq!(socket.read().expect("echoed"), message);
    }
    socket.close(None).expect("closed");
    while socket.read().is_ok() {}
    echo.join().expect("no panic");
}

/// Bytes of a body in the flat-memory test.
const BODY: u64 = 1 << 30;

/// Takes uploads and gives downloads, both of `BODY` bytes, both chunked.
fn serve_bodies(upstream: TcpListener) {
    for connection in upstream.incoming().map_while(Result::ok) {
        std::thread::spawn(move || serve_body(connection));
    }
}

fn serve_body(connection: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, connection.try_clone()?);
    let mut writer = connection;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    if head.starts_with("POST") {
        let mut total = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            let read = std::io::copy(&mut (&mut reader).take(size + 2), &mut std::io::sink())?;
            assert_eq!(read, size + 2, "a chunk and its end of line");
            total += size;
            if size == 0 {
                break;
            }
        }
        let body = total.to_string();
        write!(writer, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    } else {
        write!(writer, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let piece = vec![b'x'; 1 << 16];
        for _ in 0..BODY >> 16 {
            write!(writer, "{:x}\r\n", piece.len())?;
            writer.write_all(&piece)?;
            writer.write_all(b"\r\n")?;
        }
        writer.write_all(b"0\r\n\r\n")
    }
}

/// The most memory a process has had, in bytes (proc_pid_status(5), VmHWM).
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmHWM")).expect("VmHWM");
    line.split_whitespace().nth(1).expect("a number").parse::<u64>().expect("kB") * 1024
}

#[test]
fn a_gibibyte_passes_either_way_in_flat_memory() {
    let upstream = TcpListener::bind("127.0.0.1:0").expect("a port");
    let service = in_front_of(upstream.local_addr().expect("bound"));
    std::thread::spawn(move || serve_bodies(upstream));
    let before = peak_memory(service.pid());
    let mut connection = TcpStream::connect(service.site.strip_prefix("http://").expect("a site")).expect("the edge listens");
    let mut reader = BufReader::with_capacity(1 << 18, connection.try_clone().expect("a second handle"));

    write!(connection, "POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").expect("sent");
    let piece = vec![b'x'; 1 << 16];
    for _ in 0..BODY >> 16 {
        write!(connection, "{:x}\r\n", piece.len()).expect("sent");
        connection.write_all(&piece).expect("sent");
        connection.write_all(b"\r\n").expect("sent");
    }
    connection.write_all(b"0\r\n\r\n").expect("sent");
    let (status, length) = head(&mut reader);
    assert_eq!(status, 200);
    let mut counted = vec![0; length.expect("a length") as usize];
    reader.read_exact(&mut counted).expect("a body");
    assert_eq!(String::from_utf8_lossy(&counted), BODY.to_string());

    write!(connection, "GET /source HTTP/1.1\r\nHost: x\r\n\r\n").expect("sent");
    assert_eq!(head(&mut reader), (200, None));
    let mut total = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a chunk");
        let size = u64::from_str_radix(line.trim(), 16).expect("a size");
        std::io::copy(&mut (&mut reader).take(size + 2), &mut std::io::sink()).expect("a chunk");
        total += size;
        if size == 0 {
            break;
        }
    }
    assert_eq!(total, BODY);
    let grown = peak_memory(service.pid()).saturating_sub(before);
    assert!(grown < 32 << 20, "two bodies of 1 GiB took {} MiB of memory", grown >> 20);
}

/// Status and Content-Length of the next answer.
fn head(reader: &mut impl BufRead) -> (u16, Option<u64>) {
    let mut lines = vec![];
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a head");
        if line.trim().is_empty() {
            break;
        }
        lines.push(line.to_ascii_lowercase());
    }
    let status = lines[0].split(' ').nth(1).expect("a status").parse().expect("a number");
    let length = lines.iter().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    (status, length)
}
