//! Three commands of memcached's text protocol.
use std::io::Result;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};

use super::{VALUE_BYTES_MAX, unexpected};

pub async fn get<S: AsyncReadExt + AsyncWriteExt + Unpin>(connection: &mut BufStream<S>, key: &str) -> Result<Option<Vec<u8>>> {
    let line = ask(connection, format!("get {key}\r\n").as_bytes()).await?;
    if line == "END" {
        return Ok(None);
    }
    // VALUE <key> <flags> <bytes>
    let length: usize = match line.split(' ').collect::<Vec<_>>()[..] {
        ["VALUE", _, _, length] => length.parse().map_err(|_| unexpected(&line))?,
        _ => return Err(unexpected(&line)),
    };
    if length > VALUE_BYTES_MAX {
        return Err(unexpected(&line));
    }
    let mut value = vec![0; length + "\r\nEND\r\n".len()];
    connection.read_exact(&mut value).await?;
    value.truncate(length);
    Ok(Some(value))
}

pub async fn set<S: AsyncReadExt + AsyncWriteExt + Unpin>(
    connection: &mut BufStream<S>,
    key: &str,
    value: &[u8],
    expire_s: u32,
) -> Result<()> {
    let head = format!("set {key} 0 {expire_s} {}\r\n", value.len());
    let line = ask(connection, &[head.as_bytes(), value, b"\r\n"].concat()).await?;
    if line == "STORED" { Ok(()) } else { Err(unexpected(&line)) }
}

pub async fn delete<S: AsyncReadExt + AsyncWriteExt + Unpin>(connection: &mut BufStream<S>, key: &str) -> Result<()> {
    let line = ask(connection, format!("delete {key}\r\n").as_bytes()).await?;
    if matches!(&*line, "DELETED" | "NOT_FOUND") { Ok(()) } else { Err(unexpected(&line)) }
}

/// Sends a command and reads the first line of its answer, without the line end.
async fn ask<S: AsyncReadExt + AsyncWriteExt + Unpin>(connection: &mut BufStream<S>, command: &[u8]) -> Result<String> {
    connection.write_all(command).await?;
    connection.flush().await?;
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}
