use super::*;
use crate::quantity;
use clap::Parser;
use rungs::CacheKind;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    ladder: LadderArgs,
}

fn args(line: &str) -> LadderArgs {
    Cli::try_parse_from(std::iter::once("ladder").chain(line.split_whitespace())).unwrap().ladder
}

fn setting(line: &str) -> Setting {
    Setting::of(&args(line), Path::new("/usr/bin/pumasi")).unwrap()
}

fn rung(number: &str) -> Rung {
    rungs::all().into_iter().find(|rung| rung.number == number).unwrap()
}

/// What is written for a rung is a configuration that Pumasi takes.
fn load(setting: &Setting, number: &str, cache: Option<&str>) -> pumasi_config::Plan {
    let text = setting.configuration(&rung(number), Path::new("/tmp/state"), cache);
    let source = Source { name: "ladder".into(), text, directory: "/".into() };
    let surroundings = pumasi_config::Surroundings { cores: 2, ..pumasi_config::Surroundings::default() };
    pumasi_config::load(&source, &surroundings).unwrap_or_else(|problems| panic!("{problems}")).plan
}

#[test]
fn each_rung_differs_from_the_one_before_in_what_it_is_about() {
    use pumasi_config::{Members, PagesMode, ResultsMode};
    let setting = setting("");
    let summary = |number, cache| {
        let plan = load(&setting, number, cache);
        let Members::Workers(workers) = &plan.pools["app"].members else { panic!("workers are what the ladder runs") };
        (
            workers.workers,
            plan.edge.routes[0].pages,
            plan.sql["main"].results,
            workers.env.get("ASKHY_CACHE").map(|url| url.fill(|_| String::new())),
        )
    };
    let redis = Some("redis://127.0.0.1:1");
    assert_eq!(summary("1", None), (1, PagesMode::Off, ResultsMode::Off, None));
    assert_eq!(summary("3", redis), (1, PagesMode::Off, ResultsMode::Off, redis.map(str::to_string)));
    assert_eq!(summary("4", None), (3, PagesMode::Off, ResultsMode::Off, None));
    assert_eq!(summary("5", None), (1, PagesMode::Automatic, ResultsMode::Automatic, None));
    assert_eq!(summary("6", None), (3, PagesMode::Automatic, ResultsMode::Automatic, None));
    assert_eq!(rung("2").cache, Some(CacheKind::Memcached));
    assert_eq!((rung("7a").writes, rung("7b").writes), (0.01, 0.1));
}

#[test]
fn a_real_database_is_asked_directly_until_pumasi_is_needed_in_between() {
    let setting = setting("--database mysql://app:p:w@db.example:3307/board");
    let text = |number| setting.configuration(&rung(number), Path::new("/tmp/state"), None);
    assert!(
        !text("1").contains("[sql.main]")
            && text("1").contains("DATABASE_PORT = \"3307\"")
            && text("1").contains("DATABASE_PASSWORD = \"p:w\"")
    );
    assert!(
        text("6").contains("primary = \"mysql://app:p:w@db.example:3307/board\"")
            && text("6").contains("DATABASE_PORT = \"${sql.main.port}\"")
    );
}

#[test]
fn one_s_own_application_has_the_rungs_that_need_no_knowledge_of_it() {
    let setting = setting("--command ./serve --url http://x.example/items?a=1 --url /b --env A=${sql.main.port}");
    let able: Vec<&str> = rungs::all().iter().filter(|rung| setting.obstacle(rung).is_none()).map(|rung| rung.number).collect();
    assert_eq!(able, ["1", "4", "5", "6"]);
    assert!(setting.configuration(&rung("4"), Path::new("/tmp/state"), None).contains("A = \"${sql.main.port}\""));
    assert_eq!(setting.paths, ["/items?a=1", "/b"]);
}

#[test]
fn the_load_of_every_rung_compiles_and_writes_as_often_as_the_rung_says() {
    let setting = setting("");
    for rung in rungs::all() {
        let source = Source { name: "rung".into(), text: setting.scenario(&rung), directory: "/".into() };
        let target = Some(Target::resolve("http://127.0.0.1:1", &Trust::System).unwrap());
        let plan =
            scenario::compile(&source, &Overrides { target, ..Overrides::default() }).unwrap_or_else(|problems| panic!("{problems}"));
        let all: f64 = plan.scenarios.iter().map(|scenario| scenario.weight).sum();
        let writes: f64 = plan.scenarios.iter().filter(|scenario| scenario.name == "cheer").map(|scenario| scenario.weight).sum();
        assert!((writes / all - rung.writes).abs() < 1e-9, "rung {}", rung.number);
    }
}

#[test]
fn wrong_flags_are_refused_with_what_there_is() {
    let refused = |line: &str| Setting::of(&args(line), Path::new("/p")).unwrap_err();
    assert_eq!(refused("--only 1,8"), "there is no rung \"8\"; there are 1, 2, 3, 4, 5, 6, 7a, 7b");
    assert!(refused("--database postgres://x").starts_with("a database is written mysql://"));
    assert!(refused("--command x --url items").contains("is not a path"));
}

fn measured(rounds: &[f64]) -> Measured {
    let mut measured = Measured::default();
    for tps in rounds {
        let report = Report { tps: *tps, mean_ms: 16_000.0 / tps, ..crate::report::tests::sample() };
        measured.add(&report, Cpu { edge_us: 1000, web_us: 20_000, sql_us: 5000, cache_us: 0 }, 100);
    }
    measured
}

#[test]
fn the_report_tells_medians_spread_gain_and_who_was_left_out() {
    let args = args("--rounds 3");
    let setting = setting("--rounds 3");
    let mut stale = measured(&[900.0, 1000.0, 1100.0]);
    stale.verified = Some(Verified { reads: 5, writes: 2, failed: 0, violation: Some("STALE: reader 0 was shown 1\nHistory".into()) });
    let rows = [(rung("1"), measured(&[90.0, 120.0, 100.0])), (rung("6"), stale)];
    let left = vec![LeftOut { number: "3".into(), name: "Redis".into(), reason: "redis-server is not installed".into() }];
    let ladder = Ladder::of(&args, &setting, rows.iter().map(|(rung, measured)| (rung, measured)), left);
    let json = serde_json::to_value(&ladder).unwrap();
    let first = &json["rungs"][0];
    assert_eq!((first["tps"].as_f64(), first["tps_min"].as_f64(), first["tps_max"].as_f64()), (Some(100.0), Some(90.0), Some(120.0)));
    assert_eq!((first["gain"].as_f64(), json["rungs"][1]["gain"].as_f64()), (Some(1.0), Some(10.0)));
    for field in ["name", "mean_ms", "p99_ms", "errors"] {
        assert!(!first[field].is_null(), "{field}");
    }
    assert_eq!(first["cpu_us_per_request"]["web"].as_f64(), Some(200.0));
    assert!(ladder.promise_broken());
    let text = report::text(&ladder, Style { colour: false });
    for part in ["10x", "(90 - 120)", "left out (Redis): redis-server is not installed", "STALE: reader 0", "3 rounds of 3s per rung"] {
        assert!(text.contains(part), "no {part:?} in\n{text}");
    }
    let page = report::page(&ladder);
    assert!(page.contains("<svg") && page.contains("· 10×") && page.contains("what holds it back") && !page.contains("<script"));
}

#[test]
fn what_holds_a_rung_back_is_told_by_who_uses_the_cores() {
    let told = |edge_us, sql_us, generator_cpu: f64| {
        let mut measured = Measured::default();
        let sample = crate::report::tests::sample();
        let report = Report { tps: 1000.0, generator_cpu, generator_cpu_max: generator_cpu, generator_threads: 1, ..sample };
        measured.add(&report, Cpu { edge_us, web_us: 0, sql_us, cache_us: 0 }, 1);
        let mut setting = setting("");
        setting.cores = 2;
        let rows = [(rung("1"), measured)];
        Ladder::of(&args(""), &setting, rows.iter().map(|(rung, measured)| (rung, measured)), Vec::new()).rungs[0].limited_by.clone()
    };
    assert_eq!(told(190, 1710, 0.1), "the database: 90 % of 1.9 busy cores");
    assert_eq!(told(190, 710, 0.1), "waiting: the cores have time left");
    assert_eq!(told(900, 0, 0.95), "the load generator: it holds more");
}

#[test]
fn the_summary_says_what_was_gained_and_nothing_where_nothing_was() {
    let told = |gains: &[(&str, f64)]| {
        let rows: Vec<_> = gains.iter().map(|(number, tps)| (rung(number), measured(&[*tps]))).collect();
        Ladder::of(&args(""), &setting(""), rows.iter().map(|(rung, measured)| (rung, measured)), Vec::new()).summary
    };
    let said = told(&[("1", 100.0), ("3", 900.0), ("4", 90.0), ("6", 2000.0), ("7a", 500.0)]);
    assert!(
        said.starts_with("Rung 6 answers 20 times as many requests a second as rung 1") && said.contains("5 times with 1 % of writes"),
        "{said}"
    );
    assert_eq!(told(&[("1", 100.0), ("3", 900.0), ("4", 90.0)]), "", "what others wrote by hand is no gain of ours");
}

#[test]
fn a_check_that_saw_nothing_has_not_been_passed() {
    for (reads, writes, broken) in [(500, 20, false), (0, 20, true), (500, 0, true)] {
        let mut verified = measured(&[100.0]);
        verified.verified = Some(Verified { reads, writes, failed: 3, violation: None });
        let rows = [(rung("1"), measured(&[100.0])), (rung("7b"), verified)];
        let ladder = Ladder::of(&args(""), &setting(""), rows.iter().map(|(rung, measured)| (rung, measured)), Vec::new());
        assert_eq!(ladder.promise_broken(), broken, "{reads} reads, {writes} writes");
        assert_eq!(report::text(&ladder, Style { colour: false }).contains("nothing was verified"), broken);
    }
}

#[test]
fn a_stale_hand_written_cache_breaks_no_promise_of_ours() {
    let mut stale = measured(&[100.0]);
    stale.verified = Some(Verified { violation: Some("STALE".into()), ..Verified::default() });
    let rows = [(rung("2"), stale)];
    let ladder = Ladder::of(&args(""), &setting(""), rows.iter().map(|(rung, measured)| (rung, measured)), Vec::new());
    assert!(!ladder.promise_broken());
    assert_eq!(quantity::significant(ladder.rungs[0].gain), "1");
}

#[test]
fn a_cache_server_that_is_installed_starts_and_ends_with_its_rung() {
    for kind in [CacheKind::Memcached, CacheKind::Redis] {
        let state = tempfile::tempdir().unwrap();
        let server = match Server::start(kind, state.path()) {
            Ok(server) => server,
            Err(reason) => {
                assert!(reason.ends_with("is not installed"), "{reason}");
                continue;
            }
        };
        let address = server.url.split("://").nth(1).unwrap().to_string();
        std::net::TcpStream::connect(&address).unwrap();
        drop(server);
        assert!(std::net::TcpStream::connect(&address).is_err(), "{kind:?} still listens");
    }
}
