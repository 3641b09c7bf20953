//! Scenario files: TOML in, a [`Plan`] out, or every mistake with its line and column.
//!
//! ```toml
//! [load]                                   # open model by default; vusers = N instead of rate selects the closed model
//! target = "http://127.0.0.1:8080"
//! warmup = "10s"
//! stages = [ { rate = 50, for = "30s", ramp = true }, { rate = 200, for = "2m" } ]
//! slo = { p99 = "300ms", errors = "0.1%" }
//! [data]
//! item = { csv = "items.csv", column = "id", order = "zipf 0.9" }
//! page = { range = [1, 50], order = "random" }
//! [[scenario]]
//! name = "browse"
//! weight = 80
//! steps = [
//!   { get = "/items?page=${page}", check = { status = 200 }, think = "1s..3s", extract = { next = { json = "/0/id" } } },
//!   { post = "/items/${next}/like", form = { from = "${uuid}" } },
//! ]
//! ```

mod section;
mod steps;

use crate::{
    command::LoadError,
    data::{self, Feed, Order},
    fleet::FILE_BYTES_MAX,
    plan::{Limits, Model, Plan, Scenario, Target, Trust},
    profile::{Profile, Stage},
    quantity,
    random::Weighted,
    slo::Objective,
    template::Names,
};
use pumasi_config::{Origin, Problem, Problems, Source};
use section::{Reader, Section};
use std::{path::Path, sync::atomic::AtomicU64, time::Duration};
use toml_edit::{Document, Item};

/// What may be said on the command line instead of, or over, the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub target: Option<Target>,
    pub trust: Trust,
    pub rate: Option<f64>,
    pub vusers: Option<f64>,
    pub lasts: Option<Duration>,
    pub warmup: Option<Duration>,
    pub threads: Option<usize>,
    pub connections_max: Option<usize>,
    pub in_flight_max: Option<usize>,
    pub timeout: Option<Duration>,
    pub http2: bool,
    pub streams_max: Option<usize>,
    /// Agents that share the load; 0: this machine makes it.
    pub machines: usize,
    pub objectives: Vec<Objective>,
    pub stop_when_missed: bool,
    pub seed: Option<u64>,
    /// Added to every request: name and value as written, templates in the value.
    pub headers: Vec<(String, String)>,
}

/// Generator threads unless set: one per core, but none that would have next to nothing to do.
const RATE_PER_THREAD: f64 = 5_000.0;
const VUSERS_PER_THREAD: f64 = 8.0;
/// Connections unless set. Loopback has 28,000 local ports, and a few thousand are in TIME_WAIT after any test.
const CONNECTIONS_DEFAULT: usize = 10_000;
/// HTTP/2 requests at once on one connection unless set: what RFC 9113 section 6.5.2 asks servers to allow at least. A vuser has a connection
/// of its own, as a browser has.
const STREAMS_DEFAULT: usize = 100;
const STREAMS_MAX: usize = 10_000;
/// Of one machine.
const THREADS_MAX: usize = 1024;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const WARMUP_DEFAULT: Duration = Duration::from_secs(1);
const LASTS_DEFAULT: Duration = Duration::from_secs(30);
const RATE_DEFAULT: f64 = 50.0;
/// Bounds of what a file may ask for: typing errors, not machines, ask for more.
const RATE_MAX: f64 = 10_000_000.0;
const VUSERS_MAX: f64 = 1_000_000.0;
const SCENARIOS_MAX: usize = 1_000;

/// Compiles a scenario file.
///
/// Errors: every mistake found, each with its place. Data files are read here; `source.directory` is where relative paths start.
pub fn compile(source: &Source, overrides: &Overrides) -> Result<Plan, Problems> {
    let document = match Document::parse(source.text.as_str()) {
        Ok(document) => document,
        Err(error) => {
            let problem = Problem {
                origin: Origin::File(error.span().unwrap_or(0..0)),
                key: String::new(),
                what: format!("not TOML: {}", error.message().trim_end_matches('.').replace('\n', "; ")),
                remedy: "Strings need quotes, tables a header like [load] on a line of their own.".to_string(),
            };
            return Err(Problems::in_text(source, vec![problem]));
        }
    };
    let reader = Reader::default();
    let plan = read(&document, source, overrides, &reader);
    let problems = reader.into_problems();
    match plan {
        Some(plan) if problems.is_empty() => Ok(plan),
        _ => Err(Problems::in_text(source, problems)),
    }
}

fn read(document: &Document<&str>, source: &Source, overrides: &Overrides, reader: &Reader) -> Option<Plan> {
    let root = Section::root(document, reader);
    let load = root.section("load");
    let data = root.section("data");
    let mut names = Names::default();
    let feeds: Vec<Feed> =
        data.iter().flat_map(|data| data.entries()).filter_map(|(name, at, item)| read_feed(&name, at, item, source, reader)).collect();
    names.feeds = feeds.iter().map(|feed| (feed.name.clone(), feed.columns.clone())).collect();

    let target = match &overrides.target {
        Some(target) => {
            // Known here all the same.
            let _ = load.as_ref().map(|load| load.raw("target"));
            Some(target.clone())
        }
        None => read_target(load.as_ref(), &root, &overrides.trust),
    };
    let http2 = load.as_ref().and_then(|load| load.boolean("http2")).unwrap_or(false) || overrides.http2;
    let target = if http2 { target.map(Target::over_http2) } else { target };
    let mut common = load.as_ref().map(|load| load.pairs("headers")).unwrap_or_default();
    common.extend(overrides.headers.iter().cloned());
    let mut steps = Vec::new();
    let mut scenarios = Vec::new();
    let authority = target.as_ref().map_or("", |target| &target.authority);
    let base = target.as_ref().map_or("", |target| target.base_path());
    for section in root.array_of_sections("scenario", SCENARIOS_MAX) {
        let first = steps.len();
        let context = steps::Context { authority, base, common: &common, number: scenarios.len() + 1 };
        let mut scenario = steps::read_scenario(&section, &context, &mut names, &mut steps);
        (scenario.first, scenario.last) = (first, steps.len());
        section.finish();
        scenarios.push(scenario);
    }
    if scenarios.is_empty() {
        root.problem_at(0..0, "scenario", "there is none", "Add [[scenario]] with steps = [ { get = \"/\" } ].");
    }
    if let Some(first_empty) = scenarios.iter().find(|scenario| scenario.first == scenario.last) {
        root.problem_at(0..0, "scenario.steps", format!("scenario \"{}\" has none", first_empty.name), "Add steps = [ { get = \"/\" } ].");
        return None;
    }
    let (model, warmup) = read_model(load.as_ref(), overrides, &root);
    let limits = read_limits(load.as_ref(), overrides, &model, http2);
    let mut objectives = load.as_ref().map(read_objectives).unwrap_or_default();
    objectives.extend(overrides.objectives.iter().cloned());
    let stop_when_missed = load.as_ref().and_then(|load| load.boolean("stop_when_missed")).unwrap_or(false) || overrides.stop_when_missed;
    let seed = load.as_ref().and_then(|load| load.integer("seed", 0, i64::MAX)).map(|seed| seed as u64);
    let weights: Vec<f64> = scenarios.iter().map(|scenario: &Scenario| scenario.weight).collect();
    load.iter().for_each(Section::finish);
    root.finish();
    Some(Plan {
        target: target?,
        model,
        warmup,
        mix: (!weights.is_empty()).then(|| Weighted::new(&weights))?,
        scenarios,
        steps,
        feeds,
        counters: names.counters.iter().map(|_| AtomicU64::new(0)).collect(),
        slots: names.slots,
        limits,
        objectives,
        stop_when_missed,
        seed: overrides.seed.or(seed).unwrap_or(SEED_DEFAULT),
    })
}

/// Runs are repeatable unless asked otherwise.
const SEED_DEFAULT: u64 = 1;

fn read_target(load: Option<&Section>, root: &Section, trust: &Trust) -> Option<Target> {
    let Some((url, at)) = load.and_then(|load| load.string("target")) else {
        root.problem_at(0..0, "load.target", "there is none", "Write target = \"http://127.0.0.1:8080\" under [load], or give --target.");
        return None;
    };
    match Target::resolve(&url, trust) {
        Ok(target) => Some(target),
        Err(reason) => {
            root.problem_at(at, "load.target", reason, "Write it as http://HOST:PORT.");
            None
        }
    }
}

fn read_model(load: Option<&Section>, overrides: &Overrides, root: &Section) -> (Model, Duration) {
    let rate = load.and_then(|load| load.number("rate", 0.0, RATE_MAX));
    let vusers = load.and_then(|load| load.number("vusers", 1.0, VUSERS_MAX));
    let lasts = load.and_then(|load| load.duration("for"));
    let warmup = load.and_then(|load| load.duration("warmup"));
    let stages = load.map(|load| load.array_of_sections("stages", STAGES_MAX)).unwrap_or_default();
    if let (Some(_), Some((_, at))) = (&rate, &vusers) {
        root.problem_at(at.clone(), "load.vusers", "rate is set as well", "Keep rate for the open model or vusers for the closed one.");
    }
    let mut written: Vec<(Stage, bool)> = Vec::new();
    for stage in &stages {
        let rate = stage.number("rate", 0.0, RATE_MAX);
        let vusers = stage.number("vusers", 0.0, VUSERS_MAX);
        let lasts = stage.duration("for");
        let ramp = stage.boolean("ramp").unwrap_or(false);
        match (rate, vusers, lasts) {
            (Some((level, _)), None, Some(lasts)) if !lasts.is_zero() => written.push((Stage { level, lasts, ramp }, true)),
            (None, Some((level, _)), Some(lasts)) if !lasts.is_zero() => written.push((Stage { level: level.round(), lasts, ramp }, false)),
            _ => stage.problem("a stage needs rate or vusers, and for", "Write it as { rate = 50, for = \"30s\" }."),
        }
        stage.finish();
    }
    if written.iter().any(|(_, open)| *open != written[0].1) {
        root.problem_at(0..0, "load.stages", "some have a rate and some vusers", "Use one of the two in all stages.");
    }
    // The command line replaces the shape; a duration alone stretches only what has no stages.
    let override_level = overrides.rate.map(|rate| (rate, true)).or(overrides.vusers.map(|vusers| (vusers.round(), false)));
    let file_level = rate.map(|(rate, _)| (rate, true)).or(vusers.map(|(vusers, _)| (vusers.round(), false)));
    let lasts = overrides.lasts.or(lasts).filter(|lasts| !lasts.is_zero()).unwrap_or(LASTS_DEFAULT);
    let (stages, open): (Vec<Stage>, bool) = match (override_level, written.first()) {
        (Some((level, open)), _) => (vec![Stage { level, lasts, ramp: false }], open),
        (None, Some((_, open))) => (written.iter().map(|(stage, _)| *stage).collect(), *open),
        (None, None) => {
            let (level, open) = file_level.unwrap_or((RATE_DEFAULT, true));
            (vec![Stage { level, lasts, ramp: false }], open)
        }
    };
    let warmup = overrides.warmup.or(warmup).unwrap_or(WARMUP_DEFAULT);
    let profile = Profile::new(warmup, &stages);
    (if open { Model::Open(profile) } else { Model::Closed(profile) }, warmup)
}

/// Stages of one profile.
const STAGES_MAX: usize = 1_000;

fn read_limits(load: Option<&Section>, overrides: &Overrides, model: &Model, http2: bool) -> Limits {
    let integer = |key: &'static str, max: i64| load.and_then(|load| load.integer(key, 1, max)).map(|n| n as usize);
    let peak = model.profile().peak();
    let machines = overrides.machines.max(1);
    // How many cores agents have is known when they have dialled in.
    let cores = if overrides.machines > 0 { THREADS_MAX } else { std::thread::available_parallelism().map_or(1, usize::from) };
    let useful = (peak / machines as f64 / if model.open() { RATE_PER_THREAD } else { VUSERS_PER_THREAD }).ceil() as usize;
    let threads = overrides.threads.or(integer("threads", THREADS_MAX as i64)).unwrap_or(cores.min(useful.max(1)));
    let streams =
        overrides.streams_max.or(integer("streams", STREAMS_MAX as i64)).unwrap_or(if model.open() { STREAMS_DEFAULT } else { 1 });
    let timeout = load.and_then(|load| load.duration("timeout"));
    let (connections, in_flight) = if model.open() {
        (CONNECTIONS_DEFAULT, (peak * TIMEOUT_DEFAULT.as_secs_f64()).ceil().max(100.0) as usize)
    } else {
        (peak.ceil() as usize, usize::MAX)
    };
    Limits {
        threads,
        machines,
        streams_max: if http2 { streams.clamp(1, STREAMS_MAX) } else { 1 },
        connections_max: overrides.connections_max.or(integer("connections", 1_000_000)).unwrap_or(connections).max(threads * machines),
        in_flight_max: overrides.in_flight_max.or(integer("in_flight", 100_000_000)).unwrap_or(in_flight).max(threads * machines),
        timeout: overrides.timeout.or(timeout).filter(|timeout| !timeout.is_zero()).unwrap_or(TIMEOUT_DEFAULT),
    }
}

fn read_objectives(load: &Section) -> Vec<Objective> {
    let pairs = load.pairs_with_places("slo");
    let parsed = pairs.into_iter().filter_map(|(name, limit, at)| match Objective::parse(&name, &limit) {
        Ok(objective) => Some(objective),
        Err(reason) => {
            load.problem_at(at, &format!("slo.{name}"), reason, "Write it as slo = { p99 = \"300ms\", errors = \"0.1%\" }.");
            None
        }
    });
    parsed.collect()
}

fn read_feed(name: &str, at: std::ops::Range<usize>, item: &Item, source: &Source, reader: &Reader) -> Option<Feed> {
    let path = format!("data.{name}");
    let section = Section::of(item, &path, at.clone(), reader)?;
    let order = read_order(&section);
    let csv = section.string("csv");
    let values = section.strings("values");
    let range = section.raw("range").and_then(|item| item.as_array());
    let column = section.string("column");
    section.finish();
    let name = name.to_string();
    match (csv, values, range) {
        (Some((file, at)), None, None) => {
            let column = column.as_ref().map(|(column, _)| column.as_str());
            match read_csv(&name, &file, column, &source.directory, order) {
                Ok(feed) => return Some(feed),
                Err(reason) => section.problem_at(at, "csv", reason, "The file is RFC 4180 with the columns' names in its first line."),
            }
        }
        (None, Some(values), None) if !values.is_empty() => {
            let rows = values.into_iter().map(|value| vec![value.into_bytes()]).collect();
            return Some(Feed::texts(name.clone(), vec![name], rows, order));
        }
        (None, None, Some(range)) => {
            let ends: Vec<i64> = range.iter().filter_map(|end| end.as_integer()).collect();
            match ends.as_slice() {
                [first, last] if range.len() == 2 && first <= last && last.abs_diff(*first) < RANGE_MAX => {
                    return Some(Feed::range(name, *first, *last, order));
                }
                _ => section.problem_at(at, "range", "must be two whole numbers, the smaller first", "Write it as range = [1, 50]."),
            }
        }
        _ => section.problem(
            "needs exactly one of csv, values and range",
            "Write it as { csv = \"items.csv\", column = \"id\" }, { values = [\"a\", \"b\"] } or { range = [1, 50] }.",
        ),
    }
    None
}

/// Numbers in a range. A Zipf choice among them needs memory for each.
const RANGE_MAX: u64 = data::ROWS_MAX as u64;

fn read_csv(name: &str, file: &str, column: Option<&str>, directory: &Path, order: impl FnOnce(usize) -> Order) -> Result<Feed, String> {
    let path = directory.join(file);
    let size = std::fs::metadata(&path).map_err(|error| format!("{}: {error}", path.display()))?.len();
    if size > data::FILE_BYTES_MAX {
        return Err(format!("{} has {size} bytes, more than {}", path.display(), data::FILE_BYTES_MAX));
    }
    let bytes = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let (columns, rows) = data::parse_csv(&bytes).map_err(|reason| format!("{}: {reason}", path.display()))?;
    let Some(column) = column else {
        return Ok(Feed::texts(name.to_string(), columns, rows, order));
    };
    let index = columns
        .iter()
        .position(|known| known == column)
        .ok_or_else(|| format!("{} has no column \"{column}\"; it has {}", path.display(), columns.join(", ")))?;
    let rows = rows.into_iter().map(|mut row| vec![row.swap_remove(index)]).collect();
    Ok(Feed::texts(name.to_string(), vec![column.to_string()], rows, order))
}

fn read_order(section: &Section) -> impl FnOnce(usize) -> Order + use<> {
    let written = section.string("order");
    let words: Vec<&str> = written.as_ref().map(|(order, _)| order.split_whitespace().collect()).unwrap_or_default();
    let exponent = match words.as_slice() {
        [] | ["sequential"] => None,
        ["random"] => Some(0.0),
        ["zipf", exponent] => match exponent.parse::<f64>() {
            Ok(exponent) if exponent > 0.0 && exponent <= 10.0 => Some(exponent),
            _ => {
                let at = written.as_ref().map_or(0..0, |(_, at)| at.clone());
                section.problem_at(at, "order", format!("\"{exponent}\" is not an exponent"), "Write it as order = \"zipf 0.9\".");
                None
            }
        },
        _ => {
            let (order, at) = written.as_ref().expect("there are words only if something is written");
            section.problem_at(at.clone(), "order", format!("\"{order}\" is not an order"), "Use sequential, random or zipf EXPONENT.");
            None
        }
    };
    move |rows| match exponent {
        None => Order::Sequential,
        Some(0.0) => Order::Random,
        Some(exponent) => Order::Zipf(Weighted::zipf(rows, exponent)),
    }
}

/// The scenario with its data files named anew, and their contents under those names: so it can be sent somewhere else.
///
/// Errors: the text is not TOML, a file cannot be read, is larger than [`FILE_BYTES_MAX`] or not UTF-8.
pub fn with_files_named(text: &str, directory: &Path) -> Result<(String, Vec<(String, String)>), LoadError> {
    let usage = |error: toml_edit::TomlError| LoadError::Usage(error.to_string());
    let mut document: toml_edit::DocumentMut = text.parse().map_err(usage)?;
    let mut files = Vec::new();
    let data = document.get_mut("data").and_then(Item::as_table_like_mut);
    for (_, feed) in data.into_iter().flat_map(|data| data.iter_mut()) {
        let Some(csv) = feed.as_table_like_mut().and_then(|feed| feed.get_mut("csv")) else { continue };
        let Some(path) = csv.as_str().map(|file| directory.join(file)) else { continue };
        let content = std::fs::read_to_string(&path).map_err(|source| LoadError::File { path: path.clone(), source })?;
        if content.len() > FILE_BYTES_MAX {
            return Err(LoadError::Usage(format!(
                "{} is larger than {FILE_BYTES_MAX} bytes, which is what agents are sent",
                path.display()
            )));
        }
        let name = format!("{}.csv", files.len());
        *csv = toml_edit::value(name.as_str());
        files.push((name, content));
    }
    Ok((document.to_string(), files))
}

/// Compiles what the command line asks of one URL: a scenario of one step.
pub fn from_url(url: &str, method: &str, body: Option<&str>, overrides: &Overrides) -> Result<Plan, String> {
    let (target, path) = Target::split(url, &overrides.trust)?;
    let overrides = Overrides { target: Some(target), ..overrides.clone() };
    let body = body.map_or(String::new(), |body| format!(", body = {}", toml_edit::Value::from(body)));
    let text = format!(
        "[[scenario]]\nname = \"\"\nsteps = [{{ request = {}, path = {}{body} }}]\n",
        toml_edit::Value::from(method),
        toml_edit::Value::from(path.as_str())
    );
    let source = Source { name: "(command line)".to_string(), text, directory: ".".into() };
    compile(&source, &overrides).map_err(|problems| match problems.iter().next() {
        Some(problem) => format!("{}. {}", problem.what, problem.remedy),
        None => problems.to_string(),
    })
}

/// How long the profile will last and what it will plan, for people: one line per segment.
pub fn preview(plan: &Plan) -> Vec<String> {
    let unit = if plan.model.open() { "/s" } else { " vusers" };
    let mut at = Duration::ZERO;
    let mut lines = Vec::new();
    for (i, segment) in plan.model.profile().segments().iter().enumerate() {
        let level = if segment.from == segment.to {
            format!("{}{unit}", quantity::significant(segment.to))
        } else {
            format!("{} -> {}{unit}", quantity::significant(segment.from), quantity::significant(segment.to))
        };
        let note = if i == 0 && !plan.warmup.is_zero() { "  (warm-up, not measured)" } else { "" };
        lines.push(format!("{:>7} + {:<7} {level}{note}", quantity::show(at), quantity::show(segment.lasts)));
        at += segment.lasts;
    }
    lines
}

#[cfg(test)]
mod tests;
