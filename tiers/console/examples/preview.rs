//! The console over a made-up service, to look at its pages:
//! `cargo run -p pumasi-console --example preview -- healthy|workers|digest|page|dying [ADDRESS]`.
#[path = "../tests/it/prepared.rs"]
#[allow(dead_code, reason = "what it records is for the tests")]
mod prepared;

use std::{error::Error, sync::Arc};

use prepared::{Prepared, Situation};
use pumasi_console::{Console, Options, Token};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let situation = match arguments.next().as_deref() {
        Some("workers") => Situation::TooFewWorkers,
        Some("digest") => Situation::SlowDigest,
        Some("page") => Situation::PageNotKept,
        Some("dying") => Situation::WorkerDies,
        _ => Situation::Healthy,
    };
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:8090".into()).parse()?;
    let directory = std::env::temp_dir().join("pumasi-console-preview");
    std::fs::create_dir_all(&directory)?;
    let token = Token::load_or_create(&directory.join("token"))?;
    println!("http://{listen}/ with the token in {}", token.file().display());
    let history = Some(directory.join(format!("history-{situation:?}")));
    let _console = Console::start(Options { listen, token, history }, Arc::new(Prepared::new(situation, 1.0)))?;
    loop {
        std::thread::park();
    }
}
