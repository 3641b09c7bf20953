//! `pumasi load`: from the command line to an exit code.

use crate::{
    args::{self, LoadArgs, LoadVerb, RunArgs},
    exchange::Client,
    fleet::{self, Fleet, Job, Shape, Token, Work},
    kept::{Kept, KeptError},
    oracle::{self, Address, Checked, Found},
    plan::{Plan, Target},
    record::{self, Recorder},
    report::{
        Label, Report, compare, csv, html,
        terminal::{self, Live, Style},
    },
    run::{self, Ended, Observer, Outcome, Unwatched},
    scenario::{self, Overrides},
    ticks::Ticker,
    validate,
    verify::{self, Verified},
    watch::Watch,
};
use pumasi_config::{Problems, Source};
use std::{
    fs,
    io::{self, IsTerminal},
    net::TcpListener,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// What the process ends with (DESIGN section 7).
pub mod exit {
    pub const OK: u8 = 0;
    pub const FAILURE: u8 = 1;
    pub const USAGE: u8 = 2;
    pub const CONFIGURATION: u8 = 3;
    pub const OBJECTIVE_MISSED: u8 = 4;
    pub const UNREACHABLE: u8 = 5;
    pub const INTERRUPTED: u8 = 130;
}

/// How long `--verify` lasts if nobody says.
const VERIFY_LASTS: Duration = Duration::from_secs(30);

/// Connections of `--verify` if nobody says.
const VERIFY_CONNECTIONS: usize = 8;

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Scenario(Problems),
    #[error("{path}: {source}", path = path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{target} cannot be reached: {source}. Is it running, and is this the right port?")]
    Unreachable { target: String, source: io::Error },
    #[error("the load generator could not run: {0}")]
    Generator(io::Error),
    #[error(transparent)]
    Kept(#[from] KeptError),
    #[error("cannot write: {0}")]
    Output(io::Error),
}

impl LoadError {
    fn code(&self) -> u8 {
        match self {
            LoadError::Usage(_) => exit::USAGE,
            LoadError::Scenario(_) => exit::CONFIGURATION,
            LoadError::Unreachable { .. } => exit::UNREACHABLE,
            LoadError::File { .. } | LoadError::Generator(_) | LoadError::Kept(_) | LoadError::Output(_) => exit::FAILURE,
        }
    }
}

/// Runs the command. Data goes to standard output, the live view and messages to standard error.
pub fn run(args: &LoadArgs) -> ExitCode {
    match dispatch(args) {
        Ok(code) => ExitCode::from(code),
        // Whoever reads the output has had enough of it: nothing to complain about.
        Err(LoadError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(exit::OK),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.code())
        }
    }
}

fn dispatch(args: &LoadArgs) -> Result<u8, LoadError> {
    let kept = Kept::new(&args.state);
    let style = Style::of(io::stdout().is_terminal());
    match &args.verb {
        None => load(&args.run, args.json, &args.state, &kept),
        Some(LoadVerb::Validate(validate)) => {
            let plan = {
                let trust = args::trust(validate.insecure, validate.ca.as_ref());
                let overrides = Overrides { trust, http2: validate.http2, ..Overrides::default() };
                compile(&validate.what, validate.target.as_deref(), None, None, &overrides)?
            };
            let good = validate::validate(&plan, &mut io::stdout(), style).map_err(LoadError::Output)?;
            Ok(if good { exit::OK } else { exit::FAILURE })
        }
        Some(LoadVerb::Record(record)) => record_scenario(record, &args.state),
        Some(LoadVerb::Agent(agent)) => serve_as_agent(agent),
        Some(LoadVerb::List) => list(&kept, args.json, style),
        Some(LoadVerb::Show(show)) => {
            let report = kept.find(&show.run)?;
            write_files(&report, None, show.html.as_deref(), show.csv.as_deref())?;
            print_report(&report, args.json, style)?;
            Ok(exit::OK)
        }
        Some(LoadVerb::Compare(both)) => {
            let (before, after) = (kept.find(&both.before)?, kept.find(&both.after)?);
            if args.json {
                let notes = compare::obstacles(&before, &after);
                let value = serde_json::json!({ "before": before.id, "after": after.id, "notes": notes, "figures": compare::compare(&before, &after) });
                print(&format!("{value:#}\n"))?;
            } else {
                print(&compare::text(&before, &after, style))?;
            }
            Ok(exit::OK)
        }
        Some(LoadVerb::Rm(remove)) => {
            for run in &remove.runs {
                let report = kept.find(run)?;
                kept.remove(&report.id)?;
                print(&format!("removed {}\n", report.id))?;
            }
            Ok(exit::OK)
        }
    }
}

/// `--verify mysql://...`.
fn verify_queries(args: &RunArgs, what: &str, json: bool) -> Result<u8, LoadError> {
    let checked = Checked {
        address: Address::parse(what).map_err(LoadError::Usage)?,
        connections: args.connections.unwrap_or(VERIFY_CONNECTIONS),
        writes_percent: args.writes.clamp(0.0, 100.0),
        lasts: args.lasts.unwrap_or(VERIFY_LASTS),
        seed: args.seed.unwrap_or(0),
    };
    let interrupt = interrupt_flag().map_err(LoadError::Generator)?;
    let target = format!("{}:{}", checked.address.host, checked.address.port);
    let found = oracle::verify(&checked, &interrupt).map_err(|source| LoadError::Unreachable { target, source })?;
    if json {
        print(&format!("{:#}\n", serde_json::json!(found)))?;
    } else {
        let Found { reads, values, writes, failed, reconnects, seconds, triggers, cascades, .. } = found;
        let rate = reads as f64 / seconds.max(0.001) * 60.0;
        let with = match (triggers, cascades) {
            (true, true) => ", triggers and foreign keys among them",
            (true, false) => ", triggers among them",
            _ => "",
        };
        print(&format!(
            "{reads} reads ({values} values) proven among {writes} writes in {seconds:.0} s ({rate:.0} reads a minute){with}; {failed} statements failed, {reconnects} connections were lost\n"
        ))?;
    }
    verdict(found.violation.as_deref(), found.reads)
}

/// `--verify http://...`: the reference application's board.
fn verify_pages(args: &RunArgs, plan: &Plan, json: bool) -> Result<u8, LoadError> {
    let interrupt = interrupt_flag().map_err(LoadError::Generator)?;
    let found = verify::verify(&plan.target, args.lasts.unwrap_or(VERIFY_LASTS), &interrupt)
        .map_err(|source| LoadError::Unreachable { target: args.what.clone().unwrap_or_default(), source })?;
    let Verified { reads, writes, failed, violation } = &found;
    if json {
        print(&format!("{:#}\n", serde_json::json!({ "reads": reads, "writes": writes, "failed": failed, "violation": violation })))?;
    } else {
        print(&format!("{reads} pages proven among {writes} writes; {failed} requests failed\n"))?;
    }
    verdict(violation.as_deref(), *reads)
}

/// A check that has read nothing has proven nothing.
fn verdict(violation: Option<&str>, reads: u64) -> Result<u8, LoadError> {
    match violation {
        Some(violation) => {
            eprintln!("{violation}");
            Ok(exit::OBJECTIVE_MISSED)
        }
        None if reads == 0 => {
            eprintln!("error: nothing was read, so nothing is proven");
            Ok(exit::FAILURE)
        }
        None => print("none was stale\n").map(|()| exit::OK),
    }
}

fn load(args: &RunArgs, json: bool, state: &Path, kept: &Kept) -> Result<u8, LoadError> {
    let what = args.what.as_deref().ok_or_else(|| LoadError::Usage("say what to load: a URL or a scenario file".to_string()))?;
    if args.verify && what.starts_with("mysql://") {
        return verify_queries(args, what, json);
    }
    let mut plan = compile(what, args.target.as_deref(), args.method.as_deref(), args.body.as_deref(), &args.overrides())?;
    if args.preview {
        let lines = scenario::preview(&plan).join("\n");
        return print(&format!("{lines}\n")).map(|()| exit::OK);
    }
    // Before the run, so that a wrong name costs nothing.
    let baseline = args.baseline.as_deref().map(|run| kept.find(run)).transpose()?;
    if args.verify {
        reach(&plan)?;
        return verify_pages(args, &plan, json);
    }
    if args.agents.is_none() {
        raise_descriptor_limit(plan.limits.connections_max);
        reach(&plan)?;
    }
    let style = Style::of(io::stdout().is_terminal());
    let interrupt = interrupt_flag().map_err(LoadError::Generator)?;
    let watched = io::stderr().is_terminal();
    let mut live = Live::new(watched);
    let (mut unwatched, mut ticker) = (Unwatched, Ticker);
    let observer: &mut dyn Observer = match (args.ticks, watched) {
        (true, _) => &mut ticker,
        (false, true) => &mut live,
        (false, false) => &mut unwatched,
    };
    let watch = match &args.watch {
        Some(console) => {
            let begun = Watch::begin(console);
            Some(begun.map_err(|source| LoadError::Unreachable { target: format!("the console {console}"), source })?)
        }
        None => Watch::find(state, &plan.target),
    };
    let (outcome, agents) = match args.agents {
        None => (run::run(&plan, &interrupt, observer).map_err(LoadError::Generator)?, Vec::new()),
        Some(count) => match run_with_agents(args, usize::from(count), &mut plan, &interrupt, observer)? {
            Some(done) => done,
            None => return Ok(exit::INTERRUPTED),
        },
    };
    let tiers = watch.map(|watch| watch.finish(outcome.started + plan.warmup)).unwrap_or_default();
    live.clear();
    let label = Label { id: kept.new_id(&args.name), name: args.name.clone(), tags: args.tags.clone(), comment: args.comment.clone() };
    let report = Report { tiers, agents, ..Report::of(&plan, &outcome, label) };
    write_files(&report, baseline.as_ref(), args.html.as_deref(), args.csv.as_deref())?;
    print_report(&report, json, style)?;
    if !args.no_keep {
        kept.keep(&report)?;
    }
    if let Some(baseline) = baseline.filter(|_| !json) {
        print(&format!("\n{}", compare::text(&baseline, &report, style)))?;
    }
    Ok(match outcome.ended {
        Ended::Interrupted => exit::INTERRUPTED,
        _ if report.unreachable() => exit::UNREACHABLE,
        _ if !report.met() => exit::OBJECTIVE_MISSED,
        _ => exit::OK,
    })
}

/// Waits for the agents and has them make the load. None when interrupted before they were there.
fn run_with_agents(
    args: &RunArgs,
    count: usize,
    plan: &mut Plan,
    interrupt: &AtomicBool,
    observer: &mut dyn Observer,
) -> Result<Option<(Outcome, Vec<String>)>, LoadError> {
    let address = args.controller.ok_or_else(|| LoadError::Usage("--agents needs --controller ADDRESS:PORT to wait at".to_string()))?;
    let made_up = args.token_file.is_none() && std::env::var_os(TOKEN_VARIABLE).is_none();
    let token = if made_up { Token::random().map_err(LoadError::Generator)? } else { known_token(args.token_file.as_deref())? };
    let mut job = fleet_job(args, count)?;
    let listener =
        TcpListener::bind(address).map_err(|source| LoadError::File { path: format!("--controller {address}").into(), source })?;
    let at = fleet::address(&listener).map_err(LoadError::Generator)?;
    eprintln!("waiting for {count} agent(s) at {at}; on each of the machines run:");
    let variable = if made_up { format!("{TOKEN_VARIABLE}={} ", token.reveal()) } else { String::new() };
    eprintln!("  {variable}pumasi load agent --controller HOST:{}", at.port());
    let gathered = Fleet::gather(&listener, count, &token, interrupt, &|news| eprintln!("{news}")).map_err(LoadError::Generator)?;
    let Some(fleet) = gathered else { return Ok(None) };
    drop(listener);
    // Equal shares: as many threads as the smallest machine has cores, and no more than are of use.
    plan.limits.threads = args.threads.unwrap_or(plan.limits.threads.min(fleet.cores()));
    job.shape.threads = plan.limits.threads;
    let names = fleet.names();
    let outcome = fleet.run(plan, &job, interrupt, observer).map_err(LoadError::Generator)?;
    Ok(Some((outcome, names)))
}

/// What every agent is told, but for its number.
fn fleet_job(args: &RunArgs, machines: usize) -> Result<Job, LoadError> {
    let what = args.what.as_deref().unwrap_or_default();
    let mut files = Vec::new();
    let work = if is_url(what) {
        Work::Url {
            url: what.to_string(),
            method: method(args.method.as_deref(), args.body.as_deref()).to_string(),
            body: args.body.clone(),
        }
    } else {
        let path = Path::new(what);
        let text = fs::read_to_string(path).map_err(|source| LoadError::File { path: path.to_path_buf(), source })?;
        let (text, found) = scenario::with_files_named(&text, path.parent().unwrap_or(Path::new("")))?;
        files = found;
        Work::Scenario { name: what.to_string(), text, target: args.target.clone() }
    };
    let read = |path: &PathBuf| fs::read_to_string(path).map_err(|source| LoadError::File { path: path.clone(), source });
    let shape = Shape {
        rate: args.rate,
        vusers: args.vusers,
        lasts: args.lasts,
        warmup: args.warmup,
        threads: 1,
        connections_max: args.connections,
        in_flight_max: args.in_flight,
        timeout: args.timeout,
        http2: args.http2,
        streams_max: args.streams,
        seed: args.seed,
        headers: args.headers.clone(),
        insecure: args.insecure,
        ca: args.ca.as_ref().map(read).transpose()?,
    };
    Ok(Job { machine: 0, machines, work, shape, files })
}

/// Where the token is when no file is named.
const TOKEN_VARIABLE: &str = "PUMASI_LOAD_TOKEN";

fn known_token(file: Option<&Path>) -> Result<Token, LoadError> {
    match (file, std::env::var(TOKEN_VARIABLE)) {
        (Some(file), _) => Token::read(file),
        (None, Ok(text)) => Token::new(&text).map_err(|reason| format!("{TOKEN_VARIABLE}: {reason}")),
        (None, Err(_)) => Err(format!("which token? The controller shows it; give it by {TOKEN_VARIABLE} or --token-file FILE")),
    }
    .map_err(LoadError::Usage)
}

fn record_scenario(args: &args::RecordArgs, state: &Path) -> Result<u8, LoadError> {
    let unreachable = |source| LoadError::Unreachable { target: "the running Pumasi".to_string(), source };
    let mut recorder = Recorder::find(state, args.bodies).map_err(unreachable)?;
    let interrupt = interrupt_flag().map_err(LoadError::Generator)?;
    eprintln!("recording {} for {}; Ctrl-C ends it earlier", recorder.site, crate::quantity::show(args.lasts));
    let shown = io::stderr().is_terminal();
    let told = |requests: usize| {
        if shown {
            eprint!("\r{requests} requests ");
        }
    };
    let recording = recorder.record(args.lasts, &interrupt, &told).map_err(unreachable)?;
    if shown {
        eprintln!();
    }
    let text = record::write(&recording, &recorder.site).map_err(|reason| LoadError::Generator(io::Error::other(reason)))?;
    match &args.out {
        None => print(&text)?,
        Some(path) => {
            fs::write(path, text).map_err(|source| LoadError::File { path: path.clone(), source })?;
            eprintln!("{} requests; try it: pumasi load validate {}", recording.requests.len(), path.display());
        }
    }
    Ok(exit::OK)
}

fn serve_as_agent(args: &args::AgentArgs) -> Result<u8, LoadError> {
    let token = known_token(args.token_file.as_deref())?;
    let interrupt = interrupt_flag().map_err(LoadError::Generator)?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = args.name.clone().unwrap_or(host);
    let served = fleet::agent::serve(&args.controller, &token, &name, args.once, &interrupt, &|news| eprintln!("{news}"));
    match served {
        Ok(()) => Ok(exit::OK),
        Err(source) if source.kind() == io::ErrorKind::PermissionDenied => {
            Err(LoadError::Unreachable { target: format!("the controller {}", args.controller), source })
        }
        Err(error) => Err(LoadError::Generator(error)),
    }
}

fn is_url(what: &str) -> bool {
    what.starts_with("http://") || what.starts_with("https://")
}

fn method<'a>(asked: Option<&'a str>, body: Option<&str>) -> &'a str {
    asked.unwrap_or(if body.is_some() { "POST" } else { "GET" })
}

/// A URL becomes a scenario of one step; anything else is a file.
fn compile(what: &str, target: Option<&str>, method: Option<&str>, body: Option<&str>, overrides: &Overrides) -> Result<Plan, LoadError> {
    if is_url(what) {
        if target.is_some() {
            return Err(LoadError::Usage("--target goes with a scenario file; a URL is its own target".to_string()));
        }
        return scenario::from_url(what, self::method(method, body), body, overrides).map_err(LoadError::Usage);
    }
    if method.is_some() || body.is_some() {
        return Err(LoadError::Usage("--method and --body go with a URL; a scenario file has its own".to_string()));
    }
    let path = Path::new(what);
    let text = fs::read_to_string(path).map_err(|source| LoadError::File { path: path.to_path_buf(), source })?;
    let directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let target = target.map(|url| Target::resolve(url, &overrides.trust)).transpose().map_err(LoadError::Usage)?;
    let overrides = Overrides { target, ..overrides.clone() };
    scenario::compile(&Source { name: what.to_string(), text, directory }, &overrides).map_err(LoadError::Scenario)
}

/// One connection before the run: a target that is not there is told at once, not after minutes of errors.
fn reach(plan: &Plan) -> Result<(), LoadError> {
    Client::new(&plan.target, plan.limits.timeout)
        .reach()
        .map_err(|source| LoadError::Unreachable { target: plan.target.url.clone(), source })
}

/// The soft limit of open files is often 1024, the hard one far above. What cannot be raised shows as connect errors.
pub fn raise_descriptor_limit(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = connections as u64 + 64;
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    }
}

/// Set by the first Ctrl-C, so that a run ends with its report; the second one ends the process as usual.
pub fn interrupt_flag() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::Builder::new().name("load-signal".to_string()).spawn(move || {
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                set.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            if tokio::signal::ctrl_c().await.is_ok() {
                std::process::exit(i32::from(exit::INTERRUPTED));
            }
        });
    })?;
    Ok(flag)
}

fn list(kept: &Kept, json: bool, style: Style) -> Result<u8, LoadError> {
    let runs = kept.list()?;
    if json {
        let reports: Vec<serde_json::Value> = runs
            .iter()
            .flatten()
            .map(|r| {
                serde_json::json!({ "id": r.id, "name": r.name, "tags": r.tags, "comment": r.comment, "started_unix_ms": r.started_unix_ms,
                    "target": r.target, "model": r.model, "valid": r.valid, "tps": r.tps, "mean_ms": r.mean_ms, "p99_ms": r.response.p99, "errors": r.errors })
            })
            .collect();
        return print(&format!("{:#}\n", serde_json::Value::from(reports))).map(|()| exit::OK);
    }
    if runs.is_empty() {
        eprintln!("no run was kept yet; try: pumasi load http://127.0.0.1:8080/ --rate 50 --for 30s");
        return Ok(exit::OK);
    }
    let mut out = format!("{}\n", style.dim(&format!("{:<32}{:>10}{:>10}{:>10}{:>9}  target", "run", "TPS", "mean", "p99", "errors")));
    for run in runs {
        match run {
            Ok(r) => {
                let marks = [if r.valid { "" } else { "INVALID " }, if r.met() { "" } else { "MISSED " }].concat();
                let labels = [r.tags.iter().map(|tag| format!("[{tag}]")).collect::<Vec<_>>().join(" "), r.comment.clone()].join(" ");
                out += &format!(
                    "{:<32}{:>10}{:>10}{:>10}{:>9}  {} {}{}\n",
                    r.id,
                    terminal::number(r.tps),
                    crate::slo::show_ms(r.mean_ms),
                    crate::slo::show_ms(r.response.p99),
                    r.errors,
                    r.target,
                    style.bad(&marks),
                    style.dim(labels.trim())
                );
            }
            Err(error) => eprintln!("{error}"),
        }
    }
    print(&out).map(|()| exit::OK)
}

fn write_files(report: &Report, baseline: Option<&Report>, html_file: Option<&Path>, csv_file: Option<&Path>) -> Result<(), LoadError> {
    let write = |path: &Path, text: String| fs::write(path, text).map_err(|source| LoadError::File { path: path.to_path_buf(), source });
    html_file.map_or(Ok(()), |path| write(path, html::page(report, baseline)))?;
    csv_file.map_or(Ok(()), |path| write(path, csv::series(report)))
}

fn print_report(report: &Report, json: bool, style: Style) -> Result<(), LoadError> {
    if json {
        let text = serde_json::to_string_pretty(report).map_err(|error| LoadError::Output(error.into()))?;
        return print(&format!("{text}\n"));
    }
    print(&terminal::summary(report, style))
}

fn print(text: &str) -> Result<(), LoadError> {
    use io::Write;
    io::stdout().write_all(text.as_bytes()).map_err(LoadError::Output)
}
