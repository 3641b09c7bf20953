//! Side by side with the peers. `cargo run --release -- ROOM`; without one, lists them.
//!
//! Every room: same driver, machine and cores for all; answers checked before timing; contenders in turn (A B A B ...), median and
//! spread of the rounds; the rows we lose included. Runs are written to `bench/runs/<date>-<machine>/`.

mod cache_tests;
mod edge;
mod freshness;
mod load;
mod machine;
mod pages;
mod process;
mod sql;
mod sql_embedded;
mod table;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {
            println!("edge          requests passed on and hits: CPU per request, latency and memory beside nginx, HAProxy and Varnish");
            println!("cache-tests   the public HTTP cache test suite, beside nginx, Varnish, Squid and Traffic Server");
            println!("pages         a hit from memory: CPU per request beside nginx, Varnish and HAProxy");
            println!(
                "freshness     a query hit beside the database, an automatic page beside a standard one, the front page with and without caching"
            );
            println!("sql           sysbench and ten thousand connections through the proxy: CPU per query beside HAProxy and no proxy");
            println!("sql-embedded  the embedded engine through the wire: CPU per statement beside SQLite called directly");
            println!("load          keep-alive GETs: the generator's CPU per request beside wrk and h2load, its rate, and a stall");
            Ok(())
        }
        ["sql", options @ ..] => sql::run(options),
        ["freshness", options @ ..] => freshness::run(options),
        // How this program stands beside itself: as the least that answers, and as an application.
        ["serve-floor", port, answer] => freshness::serve_floor(port, answer),
        ["serve-page"] => freshness::serve_page(),
        ["sql-embedded"] => sql_embedded::run(),
        ["load", options @ ..] => load::run(options),
        // How this program starts the generator as a process of its own.
        ["generate", ..] => {
            use clap::Parser;
            // The first argument takes the place of the program's name.
            let code = pumasi_load::run(&load::Generate::parse_from(&arguments).load);
            if code == std::process::ExitCode::SUCCESS { Ok(()) } else { bail!("the load test failed") }
        }
        ["edge", options @ ..] => edge::run(options),
        ["cache-tests", options @ ..] => cache_tests::run(options),
        ["pages", options @ ..] => pages::run(options),
        // How this program starts the edge as a process of its own, so that its CPU can be told from the driver's.
        ["serve-edge", configuration] => edge::serve(configuration),
        other => bail!("there is no room {other:?}"),
    }
}
