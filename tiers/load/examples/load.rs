//! The load tester on its own: `cargo run --release -p pumasi-load --example load -- http://127.0.0.1:8080/ --rate 100`.

use clap::Parser;
use std::process::ExitCode;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    load: pumasi_load::LoadArgs,
}

fn main() -> ExitCode {
    pumasi_load::run(&Cli::parse().load)
}
