//! The load tester and the ladder as their users run them: the built binary, a real target, exit codes for CI.

use std::{path::Path, process::Command};

use pumasi_test_servers::MariaDb;
use serde_json::Value;

use crate::service::{Service, binary, free_address};

/// Exit code, standard output and standard error of `pumasi` in a folder.
fn pumasi(folder: &Path, words: &[&str]) -> (i32, String, String) {
    let output = Command::new(binary()).args(words).current_dir(folder).env_remove("RUST_LOG").output().expect("pumasi runs");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"))
}

/// What every report must hold: nGrinder's fields, and what it lacks.
const FIELDS: [&str; 26] = [
    "tps",
    "tps_peak",
    "mean_ms",
    "executed",
    "successful",
    "errors",
    "vusers",
    "run_time_s",
    "ttfb_mean_ms",
    "rate_planned",
    "rate_achieved",
    "planned",
    "shed",
    "behind_share",
    "behind_ms_p99",
    "generator_cpu",
    "generator_cpu_max",
    "errors_by_kind",
    "status",
    "steps",
    "series",
    "tiers",
    "name",
    "tags",
    "comment",
    "valid",
];

#[test]
fn an_objective_missed_is_code_4_and_met_is_0_and_every_run_is_kept() {
    let service = Service::demo(&["--workers", "1"]);
    let folder = service.home.path();
    let site = format!("{}/", service.site);
    let common = ["--for", "2s", "--warmup", "0s", "--rate", "20", "--state", "state"];
    let load = |more: &[&str]| pumasi(folder, &[&["load", &site], &common[..], more].concat());

    let (code, out, err) =
        load(&["--json", "--slo", "p99=1us,errors=100%", "--name", "evening", "--tag", "ci", "--comment", "before the index"]);
    assert_eq!(code, 4, "{out}{err}");
    let report = json(&out);
    for field in FIELDS {
        assert!(!report[field].is_null(), "no {field} in {report:#}");
    }
    for percentile in ["p50", "p90", "p95", "p99", "p99.9", "p99.99", "max"] {
        assert!(report["response"][percentile].as_f64() > Some(0.0) && report["service"][percentile].as_f64() > Some(0.0), "{percentile}");
    }
    let met: Vec<&Value> = report["objectives"].as_array().expect("objectives").iter().map(|judged| &judged["met"]).collect();
    assert_eq!(met, [false, true]);
    assert_eq!((report["executed"].as_u64(), report["planned"].as_u64()), (Some(40), Some(40)));
    // The target is a Pumasi whose state is here: its tiers are on the same time axis.
    let tiers = report["tiers"].as_array().expect("tiers");
    assert!(!tiers.is_empty(), "the console was not asked");
    for field in ["second", "pumasi_cpu", "web_cpu", "queue_ms_p95", "in_flight", "requests_per_s", "statements_per_s"] {
        assert!(tiers[0][field].is_number(), "no {field} in {}", tiers[0]);
    }

    let (code, out, err) = load(&["--slo", "p99=1m,errors=100%", "--html", "run.html", "--csv", "run.csv", "--baseline", "evening"]);
    assert_eq!(code, 0, "{out}{err}");
    for part in ["TPS", "peak TPS", "mean test time", "executed", "behind schedule", "p99.99", "generator"] {
        assert!(out.contains(part), "no {part} in {out}");
    }
    let page = std::fs::read_to_string(folder.join("run.html")).expect("the page");
    for chart in
        ["Answers by latency", "Response time", "In flight", "Cores used", "Found in the cache", "Waiting for a worker", "Compared with"]
    {
        assert!(page.contains(chart), "no {chart} on the page");
    }
    assert!(page.contains("<svg") && !page.contains("<script") && !page.contains("src=") && !page.contains("@import"), "self-contained");
    let csv = std::fs::read_to_string(folder.join("run.csv")).expect("the series");
    assert!(
        csv.lines().count() >= 3 && csv.lines().all(|line| line.split(',').count() == csv.lines().next().unwrap().split(',').count()),
        "{csv}"
    );

    let (_, listed, _) = pumasi(folder, &["load", "list", "--state", "state"]);
    assert!(listed.lines().any(|line| line.contains("evening") && line.contains("ci") && line.contains("before the index")), "{listed}");
    let (code, shown, _) = pumasi(folder, &["load", "show", "evening", "--state", "state", "--json"]);
    assert_eq!((code, &json(&shown)["id"]), (0, &report["id"]));
    let (code, compared, _) = pumasi(folder, &["load", "compare", "evening", "--state", "state", "--json"]);
    assert_eq!((code, &json(&compared)["before"]), (0, &report["id"]));
    assert!(json(&compared)["figures"].as_array().is_some_and(|figures| figures.len() > 5), "{compared}");
    assert_eq!(pumasi(folder, &["load", "rm", "evening", "--state", "state"]).0, 0);
    let (code, _, err) = pumasi(folder, &["load", "show", "evening", "--state", "state"]);
    assert!(code == 1 && err.contains("evening"), "{code} {err}");

    let (code, out, err) = pumasi(folder, &["load", "validate", &site]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("> GET / HTTP/1.1") && out.contains("< HTTP/1.1 200 OK") && out.contains("ok in "), "{out}");
    let (code, out, _) = pumasi(folder, &["load", "validate", &format!("{}/no/such/page", service.site)]);
    assert!(code == 1 && out.contains("FAILED") && out.contains("404"), "{code} {out}");
}

#[test]
fn a_target_out_of_reach_is_code_5_and_mistakes_are_2_and_3() {
    let home = tempfile::tempdir().expect("a folder");
    let folder = home.path();
    let nobody = format!("http://{}/", free_address());
    let (code, out, err) = pumasi(folder, &["load", &nobody, "--for", "1s"]);
    assert!(code == 5 && out.is_empty() && err.contains("cannot be reached"), "{code} {out} {err}");
    assert_eq!(pumasi(folder, &["load"]).0, 2);
    std::fs::write(folder.join("s.toml"), "[load]\ntarget = \"http://127.0.0.1:1\"\nrat = 5\n[[scenario]]\nsteps = [{ get = \"/\" }]\n")
        .expect("written");
    let (code, _, err) = pumasi(folder, &["load", "s.toml"]);
    assert!(code == 3 && err.contains("s.toml:3:1") && err.contains("rate"), "{code} {err}");
    assert!(!folder.join(".pumasi/load").exists(), "nothing ran, nothing is kept");
}

#[test]
fn two_agents_dial_in_and_make_one_load() {
    let apps = concat!(env!("CARGO_MANIFEST_DIR"), "/it/apps");
    let service = Service::run_command(Path::new(apps), &["node", "hello.js"]);
    let home = tempfile::tempdir().expect("a folder");
    std::fs::write(home.path().join("token"), "a token of a test, long enough\n").expect("written");
    std::fs::write(home.path().join("item.csv"), "id\n1\n2\n3\n").expect("written");
    let scenario = "[load]\nwarmup = \"0s\"\n[data]\nitem = { csv = \"item.csv\" }\n[[scenario]]\nsteps = [{ get = \"/${item.id}\", check = { contains = \"hello\" } }]\n";
    std::fs::write(home.path().join("s.toml"), scenario).expect("written");
    let controller = free_address().to_string();
    let agent = |name: &str| {
        let mut command = Command::new(binary());
        command.args(["load", "agent", "--controller", &controller, "--token-file", "token", "--once", "--name", name]);
        command.current_dir(home.path()).stderr(std::process::Stdio::null()).spawn().expect("pumasi runs")
    };
    let mut agents = [agent("left"), agent("right")];
    let (code, out, err) = pumasi(
        home.path(),
        &[
            "load",
            "s.toml",
            "--target",
            &service.site,
            "--rate",
            "50",
            "--for",
            "2s",
            "--json",
            "--agents",
            "2",
            "--controller",
            &controller,
            "--token-file",
            "token",
        ],
    );
    assert_eq!(code, 0, "{out}{err}");
    let report = json(&out);
    assert_eq!((report["executed"].as_u64(), report["errors"].as_u64()), (Some(100), Some(0)), "{report:#}");
    let mut names: Vec<&str> = report["agents"].as_array().expect("agents").iter().filter_map(Value::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["left", "right"]);
    for agent in &mut agents {
        assert!(agent.wait().expect("our own child").success());
    }
    let (code, _, err) = pumasi(home.path(), &["load", "agent", "--controller", &controller, "--once"]);
    assert!(code == 2 && err.contains("PUMASI_LOAD_TOKEN"), "{code} {err}");
}

fn ladder(more: &[&str]) -> (i32, Value, String) {
    let home = tempfile::tempdir().expect("a folder");
    let words = [&["ladder", "--json", "--rounds", "1", "--for", "400ms", "--vusers", "4", "--html", "ladder.html"], more].concat();
    let (code, out, err) = pumasi(home.path(), &words);
    let ladder = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}; {code} {out} {err}"));
    let page = std::fs::read_to_string(home.path().join("ladder.html")).expect("the page");
    assert!(page.contains("<svg") && page.contains("Requests a second"), "{page}");
    assert!(home.path().join(".pumasi").is_dir(), "kept for the console");
    (code, ladder, err)
}

fn rung<'l>(ladder: &'l Value, number: &str) -> &'l Value {
    let rungs = ladder["rungs"].as_array().expect("rungs");
    rungs.iter().find(|rung| rung["number"] == number).unwrap_or_else(|| panic!("no rung {number} in {ladder:#}"))
}

#[test]
fn the_ladder_climbs_every_rung_and_verifies_those_that_write() {
    let (code, ladder, err) = ladder(&[]);
    assert_eq!(code, 0, "{ladder:#}\n{err}");
    let first = rung(&ladder, "1");
    assert_eq!(first["gain"].as_f64(), Some(1.0));
    // Rungs 2 and 3 stand on memcached and Redis, which `cargo xtask test` installs.
    for number in ["1", "2", "3", "4", "5", "6", "7a", "7b"] {
        let rung = rung(&ladder, number);
        for field in ["tps", "mean_ms", "p99_ms", "gain"] {
            assert!(rung[field].as_f64() > Some(0.0), "{field} of rung {number}: {rung:#}");
        }
        assert_eq!(rung["errors"].as_u64(), Some(0), "{rung:#}");
        assert!(rung["cpu_us_per_request"]["edge"].is_number() && rung["name"].is_string() && rung["tps_min"].is_number());
    }
    for number in ["7a", "7b"] {
        let rung = rung(&ladder, number);
        assert!(rung["verified_reads"].as_u64() > Some(0) && rung["acknowledged_writes"].as_u64() > Some(0), "{rung:#}");
        assert!(rung["stale"].is_null(), "{}", rung["stale"]);
    }
    assert_eq!(ladder["left_out"], Value::Array(Vec::new()));
    assert!(ladder["summary"].as_str().is_some_and(|summary| summary.contains("as many requests a second as rung 1")), "{ladder:#}");
    assert!(first["limited_by"].as_str().is_some_and(|limit| !limit.is_empty()), "{first:#}");
}

#[test]
fn somebody_elses_application_climbs_the_rungs_that_need_no_change_and_the_others_say_why() {
    let app = concat!(env!("CARGO_MANIFEST_DIR"), "/it/apps/hello.js");
    let (code, ladder, err) = ladder(&["--command", &format!("exec node {app}"), "--url", "/hello"]);
    assert_eq!(code, 0, "{ladder:#}\n{err}");
    for number in ["1", "4", "5", "6"] {
        assert!(rung(&ladder, number)["tps"].as_f64() > Some(0.0) && rung(&ladder, number)["errors"] == 0);
    }
    let left: Vec<(&str, &str)> = ladder["left_out"]
        .as_array()
        .expect("left_out")
        .iter()
        .map(|left| (left["number"].as_str().unwrap_or_default(), left["reason"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(left.iter().map(|(number, _)| *number).collect::<Vec<_>>(), ["2", "3", "7a", "7b"]);
    assert!(left.iter().all(|(_, reason)| reason.contains("your application") || reason.contains("do not know how to write")), "{left:?}");
}

#[test]
fn the_ladder_stands_on_a_real_database() {
    let database = MariaDb::start();
    database.run("CREATE DATABASE askhy");
    let url = format!("mysql://root:@127.0.0.1:{}/askhy", database.port);
    let (code, ladder, err) = ladder(&["--database", &url, "--only", "1,4,6,7b"]);
    assert!(code == 0, "{ladder:#}\n{err}");
    assert_eq!(ladder["left_out"], Value::Array(Vec::new()));
    for number in ["1", "4", "6", "7b"] {
        let rung = rung(&ladder, number);
        assert!(rung["tps"].as_f64() > Some(0.0) && rung["errors"] == 0, "{rung:#}");
        if number == "7b" {
            assert!(rung["verified_reads"].as_u64() > Some(0) && rung["acknowledged_writes"].as_u64() > Some(0), "{rung:#}");
            assert!(rung["stale"].is_null(), "{rung:#}");
        }
    }
    assert_eq!(ladder["database"], format!("127.0.0.1:{}/askhy", database.port));
}
