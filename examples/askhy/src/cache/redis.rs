//! Three commands of RESP2.
use std::io::Result;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};

use super::{VALUE_BYTES_MAX, unexpected};

pub async fn get<S: AsyncReadExt + AsyncWriteExt + Unpin>(connection: &mut BufStream<S>, key: &str) -> Result<Option<Vec<u8>>> {
    let line = ask(connection, &[b"GET", key.as_bytes()]).await?;
    let length: i64 = line.strip_prefix('$').and_then(|length| length.parse().ok()).ok_or_else(|| unexpected(&line))?;
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    if length > VALUE_BYTES_MAX {
        return Err(unexpected(&line));
    }
    let mut value = vec![0; length + 2];
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
    let line = ask(connection, &[b"SET", key.as_bytes(), value, b"EX", expire_s.to_string().as_bytes()]).await?;
    if line == "+OK" { Ok(()) } else { Err(unexpected(&line)) }
}

pub async fn delete<S: AsyncReadExt + AsyncWriteExt + Unpin>(connection: &mut BufStream<S>, key: &str) -> Result<()> {
    let line = ask(connection, &[b"DEL", key.as_bytes()]).await?;
    if line.starts_with(':') { Ok(()) } else { Err(unexpected(&line)) }
}

/// Sends a command and reads the first line of its answer, without the line end.
async fn ask<S: AsyncReadExt + AsyncWriteExt + Unpin>(connection: &mut BufStream<S>, words: &[&[u8]]) -> Result<String> {
    connection.write_all(format!("*{}\r\n", words.len()).as_bytes()).await?;
    for word in words {
        connection.write_all(format!("${}\r\n", word.len()).as_bytes()).await?;
        connection.write_all(word).await?;
        connection.write_all(b"\r\n").await?;
    }
    connection.flush().await?;
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    Ok(line.trim_end().to_owned())
}
