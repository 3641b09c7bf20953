//! Is the worker ready? The first question it is asked, before any request.
use std::{net::SocketAddr, sync::Arc, time::Duration};

use pumasi_config::ProbePlan;
use pumasi_freshness::Witness;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How often a starting worker is asked. A worker that is up should take requests at once, so this is shorter than `probe.every`.
pub const EVERY: Duration = Duration::from_millis(50);

/// Waits until `address` answers as `plan` wants (a status in its range), or accepts a connection where there is no plan.
/// Never returns otherwise: the caller holds the deadline. `witness`: a probe is a request too, so that what it makes the application read
/// belongs to a request that ends.
pub async fn answered(address: SocketAddr, plan: Option<&ProbePlan>, witness: Option<&Arc<Witness>>) {
    loop {
        let patience = plan.map_or(Duration::from_secs(1), |plan| plan.timeout);
        let window = witness.map(Witness::open_for_nobody);
        if timeout(patience, ask(address, plan)).await.is_ok_and(|good| good) {
            return;
        }
        drop(window);
        tokio::time::sleep(EVERY).await;
    }
}

async fn ask(address: SocketAddr, plan: Option<&ProbePlan>) -> bool {
    let Ok(mut connection) = TcpStream::connect(address).await else { return false };
    let Some(plan) = plan else { return true };
    let host = plan.host.clone().unwrap_or_else(|| address.to_string());
    let request = format!("GET {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: pumasi-probe\r\nConnection: close\r\n\r\n", plan.path);
    if connection.write_all(request.as_bytes()).await.is_err() {
        return false;
    }
    // The status line is all we want: "HTTP/1.1 200".
    let mut line = [0; 12];
    connection.read_exact(&mut line).await.is_ok()
        && status_of(&line).is_some_and(|status| (plan.status_min..=plan.status_max).contains(&status))
}

fn status_of(line: &[u8; 12]) -> Option<u16> {
    let text = std::str::from_utf8(line).ok()?;
    text.starts_with("HTTP/1.").then(|| text[9..].parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_status_line_counts() {
        assert_eq!(status_of(b"HTTP/1.1 200"), Some(200));
        assert_eq!(status_of(b"HTTP/1.0 503"), Some(503));
        assert_eq!(status_of(b"SSH-2.0-Open"), None);
        assert_eq!(status_of(b"HTTP/1.1 2x0"), None);
    }
}
