//! 부탁하냥 (ASKHY): a small board where people post a request and others cheer for it.
//!
//! An ordinary, stateless web application: axum, a MySQL driver with a pool, a template library, settings from the environment.
//! It knows nothing of what may stand in front of it or behind it. Its front page is slow on purpose: every view counts the
//! cheers of every ask in the database, because that is what such a page does before anybody thinks about scale.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `PORT` | where to listen | 8000 |
//! | `HOST` | the address to listen on | 127.0.0.1 |
//! | `DATABASE_HOST`, `DATABASE_PORT` | the database server | 127.0.0.1, 3306 |
//! | `DATABASE_USER`, `DATABASE_PASSWORD` | who logs in there | root, empty |
//! | `DATABASE_NAME` | the database, which must exist; the tables are made | askhy |
//! | `ASKHY_CACHE` | `redis://HOST:PORT` or `memcached://HOST:PORT`: keep the front page's list there | none |
mod board;
mod cache;
mod pages;
mod seed;
mod settings;
mod web;
mod words;

use std::{process::ExitCode, time::Duration};

pub use board::{ASKS_WITH_COUNTS, Board, MESSAGE_CHARS_MAX};
pub use seed::seed;
pub use settings::{Database, Settings};

/// Runs the application until SIGTERM or Ctrl-C; settings come from the environment. Says on stderr why it could not start.
pub fn main() -> ExitCode {
    let outcome = Settings::from_environment().and_then(|settings| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = runtime.block_on(run(settings));
        // A query still running for somebody who left does not keep the process alive.
        runtime.shutdown_timeout(Duration::from_secs(1));
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("askhy: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why the application cannot go on, or a request cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{name}={value:?} is not {wanted}")]
    Setting { name: &'static str, value: String, wanted: &'static str },
    #[error("cannot listen on {address}: {source}")]
    Listen { address: String, source: std::io::Error },
    #[error("database: {0}")]
    Database(#[from] mysql_async::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

async fn run(settings: Settings) -> Result<(), Error> {
    let board = Board::open(&settings.database, settings.cache.as_ref()).await?;
    let address = format!("{}:{}", settings.host, settings.port);
    let listener = tokio::net::TcpListener::bind(&address).await.map_err(|source| Error::Listen { address: address.clone(), source })?;
    eprintln!("askhy: listening on {}", listener.local_addr()?);
    web::serve(listener, board, asked_to_stop()).await?;
    Ok(())
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => tokio::select! {
            _ = terminated.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        },
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}
