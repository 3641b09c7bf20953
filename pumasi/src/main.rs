//! `pumasi`: reads the command line and the configuration, starts the tiers, drains them, ends with an exit code. Nothing else.
mod addresses;
mod arguments;
mod ask;
mod client;
mod configuration;
mod databases;
mod demo;
mod diary;
mod explain;
mod failure;
mod host;
mod house;
mod ladder;
mod load_desk;
mod logging;
mod own_process;
mod probes;
mod recording;
mod reload;
mod run;
mod service;
mod show;
mod sql;
mod state;
mod status;
mod sticky_key;
mod stop;
mod top;
mod upgrade;

use std::{ffi::OsString, process::ExitCode};

use arguments::{Arguments, ConfigVerb, Verb};
use clap::{CommandFactory, Parser};
use configuration::Configuration;
use failure::Failure;
use upgrade::{Heir, stand_in};

fn main() -> ExitCode {
    if let Some(code) = hidden_subcommand() {
        return code;
    }
    let (arguments, heir) = match taking_over() {
        None => (Arguments::parse(), None),
        Some(rest) => match Heir::receive() {
            Ok(heir) => (Arguments::parse_from(rest), Some(heir)),
            Err(error) => {
                eprintln!("pumasi: {error:#}");
                return ExitCode::from(2);
            }
        },
    };
    match carry_out(arguments, heir) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}

/// What this program is started as by itself. Decided before anything else happens: a guardian must not have threads, and the reference
/// application has a command line of its own (none).
fn hidden_subcommand() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    match arguments.get(1).map(String::as_str) {
        Some("worker-guardian") => Some(pumasi_web::guardian::main(&arguments[2..])),
        Some("askhy") => Some(askhy::main()),
        Some(stand_in::SUBCOMMAND) => Some(stand_in::main(&std::env::args_os().skip(2).collect::<Vec<_>>())),
        _ => None,
    }
}

/// The command line of the process that this one shall take over from, if it was started for that.
fn taking_over() -> Option<Vec<OsString>> {
    let mut arguments = std::env::args_os();
    let program = arguments.next()?;
    (arguments.next()? == upgrade::SUBCOMMAND).then(|| std::iter::once(program).chain(arguments).collect())
}

fn carry_out(arguments: Arguments, heir: Option<Heir>) -> Result<ExitCode, Failure> {
    let done = match arguments.verb {
        // Has exit codes of its own: an objective missed, a target out of reach.
        Verb::Load(load) => return Ok(pumasi_load::run(&load)),
        Verb::Ladder(arguments) => return ladder::ladder(&arguments),
        Verb::Demo { arguments } => return demo::demo(&arguments, heir),
        Verb::Run { configuration, workers, command } => {
            return run::run(Configuration::to_run(&configuration, workers, &command)?, &run::Ordinary, heir);
        }
        Verb::Upgrade { running } => ask::upgrade(&running),
        Verb::Reload { running } => ask::reload(&running),
        Verb::Purge { url, prefix, tag, all, soft, running } => {
            let pages = [("url", url), ("path", prefix), ("tag", tag), ("everything", all.then(|| "1".into()))];
            ask::purge(pages, soft, &running)
        }
        Verb::Explain { url, running, json } => explain::explain(&url, &running, json),
        Verb::Drain { upstream, undo, running } => ask::drain(&upstream, undo, &running),
        Verb::Weigh { upstream, weight, running } => ask::weigh(&upstream, weight, &running),
        Verb::Status { running, json } => status::status(&running, json),
        Verb::Sql { verb } => sql::sql(&verb),
        Verb::Top { running } => top::top(&running),
        Verb::Validate { configuration, json } => show::validate(&configuration, json),
        Verb::Config { verb: ConfigVerb::Show { configuration, origin, json } } => show::settings(&configuration, origin, json),
        Verb::Config { verb: ConfigVerb::Reference { markdown } } => show::reference(markdown),
        Verb::Completions { shell } => {
            let mut script = vec![];
            clap_complete::generate(shell, &mut Arguments::command(), "pumasi", &mut script);
            show::print(&String::from_utf8_lossy(&script))
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}
