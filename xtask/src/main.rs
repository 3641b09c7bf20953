//! What a developer runs: `cargo xtask test`, `cargo xtask bench`, `cargo xtask soak`, `cargo xtask mtr`.
mod install;
mod mtr;
mod run;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Build, test and measure Pumasi", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what the tests need and is missing, then run all of them.
    Test {
        /// Passed on to the test runner: a filter, `--no-capture` and the like.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        runner: Vec<String>,
    },
    /// Measure beside the peers and write the table under bench/runs.
    Bench {
        /// `edge`, `sql-embedded`, `cache-tests`, ...: the rooms of bench/peers. None lists them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        what: Vec<String>,
    },
    /// Two of the tests for longer: the search for a stale answer while workers are killed, and the edge under everything at once.
    Soak {
        /// Minutes for each.
        #[arg(long, default_value_t = 30)]
        minutes: u32,
        /// Only this one.
        #[arg(long)]
        only: Option<run::Soak>,
    },
    /// MariaDB's own test suite through Pumasi; what fails there runs directly, too, and what differs must have its reason.
    Mtr {
        /// A Pumasi that has been built already.
        #[arg(long)]
        program: Option<std::path::PathBuf>,
        /// Go on from what `target/mtr/ledger` has: run what it has not, and what failed through another build.
        #[arg(long)]
        resume: bool,
        /// Servers at the same time, each with a Pumasi of its own.
        #[arg(long, default_value_t = 2)]
        lanes: u16,
        /// Such as main.select; none: the whole main suite, which takes an hour and writes its table under bench/runs.
        tests: Vec<String>,
    },
    /// How the suite is sent to Pumasi: takes the place of its client.
    #[command(hide = true)]
    MtrClient {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Install what the tests need and is missing, and stop there.
    Install,
}

fn main() -> Result<()> {
    match Arguments::parse().verb {
        Verb::Test { runner } => run::test(&runner),
        Verb::Bench { what } => run::bench(&what),
        Verb::Soak { minutes, only } => run::soak(minutes, only),
        Verb::Mtr { program, resume, lanes, tests } => mtr::mtr(mtr::Wish { tests, program, resume, lanes }),
        Verb::MtrClient { arguments } => mtr::client(&arguments),
        Verb::Install => install::for_tests(),
    }
}
