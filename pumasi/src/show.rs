//! What the program prints about configurations.

use std::io::Write;

use pumasi_config::Setting;
use serde_json::json;

use crate::{arguments::ConfigurationArguments, configuration::Configuration, failure::Failure};

/// Writes to standard output. A reader that went away (`| head`) is not an error.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::Failed(error.into())),
        _ => Ok(()),
    }
}

pub fn validate(arguments: &ConfigurationArguments, json: bool) -> Result<(), Failure> {
    let configuration = Configuration::of_file(arguments)?;
    let problems = match configuration.load() {
        Ok((source, loaded)) => {
            eprintln!("{} is fine: {}.", source.name, summary(&loaded.plan));
            return if json { print("[]\n") } else { Ok(()) };
        }
        Err(Failure::Configuration(problems)) => problems,
        Err(failure) => return Err(failure),
    };
    if json {
        let list: Vec<_> = problems
            .iter()
            .map(|problem| json!({ "place": problems.place(problem), "key": problem.key, "what": problem.what, "remedy": problem.remedy }))
            .collect();
        print(&format!("{}\n", serde_json::Value::from(list)))?;
    }
    Err(Failure::Configuration(problems))
}

fn summary(plan: &pumasi_config::Plan) -> String {
    let count = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let listeners = plan.edge.listen.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    let mut parts = vec![];
    if !listeners.is_empty() {
        parts.push(format!("the edge on {listeners}"));
        parts.push(count(plan.edge.routes.len(), "route", "routes"));
    }
    parts.push(count(plan.pools.len(), "pool", "pools"));
    parts.push(count(plan.sql.len(), "database", "databases"));
    parts.join(", ")
}

pub fn settings(arguments: &ConfigurationArguments, origin: bool, json: bool) -> Result<(), Failure> {
    let (source, loaded) = Configuration::of_file(arguments)?.load()?;
    let place = |setting: &Setting| source.place(&setting.origin);
    if json {
        let list: Vec<_> = loaded
            .settings
            .iter()
            .map(|setting| json!({ "key": setting.path, "value": setting.value, "unset": setting.unset, "origin": place(setting) }))
            .collect();
        return print(&format!("{}\n", serde_json::Value::from(list)));
    }
    let mut out = String::new();
    for setting in &loaded.settings {
        let line = match &setting.value {
            Some(value) => format!("{} = {value}", setting.path),
            None => format!("# {} is not set: {}", setting.path, setting.unset.unwrap_or_default()),
        };
        match origin && setting.value.is_some() {
            true => out.push_str(&format!("{line:<55} # {}\n", place(setting))),
            false => out.push_str(&format!("{line}\n")),
        }
    }
    print(&out)
}

pub fn reference(markdown: bool) -> Result<(), Failure> {
    print(&if markdown { pumasi_config::markdown() } else { pumasi_config::sample() })
}
