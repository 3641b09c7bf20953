//! validate, config show, config reference, completions, --version.

use serde_json::Value;

use crate::program::{command, directory_with, ended, run};

const GOOD: &str = "[edge]\nlisten = \"127.0.0.1:8081\"\n\n[pool.app]\ncommand = \"./serve\"\n";

#[test]
fn a_good_file_is_told_in_one_line() {
    let directory = directory_with(GOOD);
    let it = run(directory.path(), &["validate"]);
    assert_eq!((it.code, it.stdout.as_str()), (Some(0), ""));
    assert_eq!(it.stderr, "pumasi.toml is fine: the edge on 127.0.0.1:8081, 1 route, 1 pool, 0 databases.\n");
}

#[test]
fn every_mistake_is_told_at_once_and_the_code_is_3() {
    let directory = directory_with("[edge]\nlisten = 8081\n\n[pool.app]\ncomand = \"./serve\"");
    let it = run(directory.path(), &["validate"]);
    assert_eq!((it.code, it.stdout.as_str()), (Some(3), ""));
    assert!(it.stderr.contains("pumasi.toml:2:10: edge.listen: "), "{}", it.stderr);
    assert!(it.stderr.contains("pumasi.toml:5:1: pool.app: unknown key \"comand\". Did you mean \"command\"?"), "{}", it.stderr);
    let it = run(directory.path(), &["validate", "--json"]);
    let problems: Vec<Value> = serde_json::from_str(&it.stdout).expect("JSON");
    assert_eq!((it.code, problems.len(), &problems[1]["place"]), (Some(3), 2, &Value::from("pumasi.toml:5:1")));
}

#[test]
fn no_file_is_a_usage_error_that_shows_the_ways_on() {
    let directory = tempfile::tempdir().expect("a directory");
    for verb in [&["validate"][..], &["config", "show"], &["run"]] {
        let it = run(directory.path(), verb);
        assert_eq!(it.code, Some(2), "{verb:?}");
        assert!(it.stderr.contains("pumasi run -- COMMAND") && it.stderr.contains("--config FILE"), "{}", it.stderr);
    }
    let it = run(directory.path(), &["validate", "--config", "other.toml"]);
    assert_eq!((it.code, it.stderr.as_str()), (Some(2), "pumasi: cannot read other.toml: No such file or directory (os error 2)\n"));
}

#[test]
fn a_file_that_is_not_text_is_refused_with_its_line() {
    let directory = directory_with("");
    std::fs::write(directory.path().join("pumasi.toml"), b"[edge]\nlisten = \"\xff\"\n").expect("writable");
    let it = run(directory.path(), &["validate"]);
    assert_eq!(it.stderr, "pumasi: pumasi.toml:2: not UTF-8 text. Save the file as UTF-8.\n");
}

#[test]
fn settings_are_shown_with_their_origin() {
    let directory = directory_with(GOOD);
    let mut command = command(directory.path(), &["config", "show", "--origin", "--set", "pool.app.workers=5", "--console", "off"]);
    let it = ended(command.env("PUMASI__EDGE__LIMITS__HEADERS_MAX", "50").output().expect("the program runs"));
    let line = |key: &str| it.stdout.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key} in {}", it.stdout));
    let shown = |key: &str, value: &str, origin: &str| {
        let (left, right) = line(key).split_once(" # ").expect("an origin");
        assert_eq!((left.trim_end(), right), (format!("{key} = {value}").as_str(), origin));
    };
    shown("edge.listen", "\"127.0.0.1:8081\"", "pumasi.toml:2:10");
    shown("edge.limits.headers_max", "50", "PUMASI__EDGE__LIMITS__HEADERS_MAX");
    shown("pool.app.workers", "5", "--set pool.app.workers");
    shown("console.listen", "\"off\"", "--console");
    shown("edge.limits.idle_timeout", "\"60s\"", "default");
    assert_eq!(line("# pool.app.directory"), "# pool.app.directory is not set: the directory of this file");
}

#[test]
fn a_mistake_on_the_command_line_names_the_flag() {
    let directory = directory_with(GOOD);
    let it = run(directory.path(), &["validate", "--listen", "8080"]);
    assert_eq!(it.code, Some(3));
    assert!(it.stderr.starts_with("--listen: edge.listen: \"8080\" has no port. "), "{}", it.stderr);
    assert_eq!(run(directory.path(), &["validate", "--set", "nothing"]).code, Some(2));
}

#[test]
fn the_reference_and_the_completions_are_printed() {
    let directory = tempfile::tempdir().expect("a directory");
    let sample = run(directory.path(), &["config", "reference"]).stdout;
    assert!(sample.contains("# [edge.limits]") && sample.contains("# header_timeout = \"10s\""), "{sample}");
    let manual = run(directory.path(), &["config", "reference", "--markdown"]).stdout;
    assert!(manual.contains("### `edge.limits.header_timeout`"), "{manual}");
    let script = run(directory.path(), &["completions", "bash"]).stdout;
    assert!(script.contains("validate") && script.contains("complete -F"), "{script}");
    let version = run(directory.path(), &["--version"]).stdout;
    assert_eq!(version, format!("pumasi {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(run(directory.path(), &["frobnicate"]).code, Some(2));
}
