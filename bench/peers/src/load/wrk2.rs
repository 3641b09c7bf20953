//! wrk2's way of counting, as plainly as it can be written: a thread per connection, a schedule per connection, and latencies from the schedule.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

/// No answer of the server under test takes longer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// `rate` requests a second in all, for `lasts`, spread evenly over `connections`. Latencies in milliseconds from the planned instants, sorted.
pub fn paced(port: u16, connections: usize, rate: usize, lasts: Duration) -> Result<Vec<f64>> {
    let start = Instant::now() + Duration::from_millis(50);
    let (apart, between) = (Duration::from_secs(1) / rate as u32, Duration::from_secs(1) * connections as u32 / rate as u32);
    let threads: Vec<_> = (0..connections as u32)
        .map(|number| std::thread::spawn(move || connection(port, start + apart * number, between, start + lasts)))
        .collect();
    let mut all = Vec::new();
    for thread in threads {
        all.extend(thread.join().expect("a connection does not panic")?);
    }
    ensure!(!all.is_empty(), "no request was answered");
    all.sort_by(f64::total_cmp);
    Ok(all)
}

/// One request after another, none before its instant.
fn connection(port: u16, first: Instant, between: Duration, end: Instant) -> Result<Vec<f64>> {
    let mut socket = TcpStream::connect(("127.0.0.1", port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(ANSWER_MAX))?;
    let mut latencies = Vec::new();
    let mut buffer = [0; 4096];
    let mut planned = first;
    while planned < end {
        std::thread::sleep(planned.saturating_duration_since(Instant::now()));
        socket.write_all(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")?;
        answer(&mut socket, &mut buffer).context("an answer")?;
        latencies.push(planned.elapsed().as_secs_f64() * 1e3);
        planned += between;
    }
    Ok(latencies)
}

/// Reads one answer: its head, and as much content as that announces.
fn answer(socket: &mut TcpStream, buffer: &mut [u8; 4096]) -> Result<()> {
    let mut filled = 0;
    loop {
        let count = match socket.read(&mut buffer[filled..]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        ensure!(count > 0, "the server closed the connection");
        filled += count;
        let text = std::str::from_utf8(&buffer[..filled])?;
        let Some((head, content)) = text.split_once("\r\n\r\n") else { continue };
        ensure!(head.starts_with("HTTP/1.1 200 "), "not answered with 200: {head}");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).context("the answer says how long it is")?;
        if content.len() >= length.parse()? {
            return Ok(());
        }
    }
}
