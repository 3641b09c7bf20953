//! What the architecture promises about the tree itself. Each rule says why when it fails.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("tests lies in the repository").to_owned()
}

/// Every file git knows or would know, relative to the root.
fn files() -> Vec<PathBuf> {
    let listed =
        Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root()).output().expect("git");
    let listed = String::from_utf8(listed.stdout).expect("UTF-8 names");
    let files: Vec<PathBuf> = listed.lines().map(PathBuf::from).filter(|file| root().join(file).is_file()).collect();
    assert!(files.len() > 50, "git lists the repository's files");
    files
}

fn sources() -> Vec<(PathBuf, String)> {
    let rust = files().into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    rust.map(|file| (file.clone(), std::fs::read_to_string(root().join(&file)).expect("UTF-8"))).collect()
}

fn is_test(file: &Path) -> bool {
    file.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "it" | "fuzz" | "examples" | "benches")))
        || file.file_name().is_some_and(|name| name == "tests.rs")
}

/// The text before its test module, which may do what the code may not.
fn code_of(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

fn none(found: &BTreeSet<String>, why: &str) {
    assert!(found.is_empty(), "{why}:\n  {}", found.iter().cloned().collect::<Vec<_>>().join("\n  "));
}

#[test]
fn no_file_is_a_drawer() {
    let drawers = ["util", "utils", "common", "helpers", "misc", "manager"];
    let found = sources().into_iter().filter(|(file, _)| file.file_stem().is_some_and(|stem| drawers.iter().any(|drawer| stem == *drawer)));
    none(&found.map(|(file, _)| file.display().to_string()).collect(), "a file is named after what it holds (STYLE: no drawers)");
}

#[test]
fn every_module_file_is_declared() {
    let all = sources();
    let mut found = BTreeSet::new();
    for (file, _) in &all {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).expect("a name");
        let folder = file.parent().expect("a folder");
        if !folder.components().any(|part| part.as_os_str() == "src" || part.as_os_str() == "it")
            || matches!(stem, "main" | "lib" | "build")
            || folder.ends_with("bin")
        {
            continue;
        }
        let declaration = format!("mod {stem};");
        let parents = [folder.with_extension("rs"), folder.join("lib.rs"), folder.join("main.rs"), folder.join("mod.rs")];
        let grand = folder.parent().map(|up| up.join("mod.rs")).unwrap_or_default();
        let declared = |parent: &PathBuf| all.iter().any(|(other, text)| other == parent && text.contains(&declaration));
        if stem != "mod" && !parents.iter().any(declared) || stem == "mod" && grand.as_os_str().is_empty() {
            found.insert(file.display().to_string());
        }
    }
    none(&found, "a file no module declares is never compiled");
}

#[test]
fn tiers_do_not_import_each_other() {
    let tiers: Vec<String> = names("tiers");
    let mut found = BTreeSet::new();
    for tier in &tiers {
        let manifest = std::fs::read_to_string(root().join("tiers").join(tier).join("Cargo.toml")).expect("a manifest");
        for other in tiers.iter().filter(|other| *other != tier) {
            if manifest.contains(&format!("pumasi-{other}")) {
                found.insert(format!("tiers/{tier} imports pumasi-{other}"));
            }
        }
    }
    none(&found, "tiers meet over the wire or through a part (ARCHITECTURE, invariants)");
}

#[test]
fn parts_take_the_time_the_network_and_the_disk_as_arguments() {
    let forbidden = ["Instant::now(", "SystemTime::now(", "TcpListener", "TcpStream", "UdpSocket", "std::fs::", "tokio::"];
    let mut found = BTreeSet::new();
    for (file, text) in sources().into_iter().filter(|(file, _)| file.starts_with("parts") && !is_test(file)) {
        for (number, line) in code_of(&text).lines().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            found.extend(
                forbidden.iter().filter(|word| code.contains(**word)).map(|word| format!("{}:{} {word}", file.display(), number + 1)),
            );
        }
    }
    none(&found, "a part never reads the clock and never opens a socket or a file, so that its tests own them");
}

#[test]
fn unsafe_code_lives_only_where_it_is_contained() {
    let contained = ["parts/preupdate"];
    let mut found = BTreeSet::new();
    for manifest in
        files().into_iter().filter(|file| file.file_name().is_some_and(|name| name == "Cargo.toml") && file.components().count() > 1)
    {
        let text = std::fs::read_to_string(root().join(&manifest)).expect("UTF-8");
        let folder = manifest.parent().expect("a folder").display().to_string();
        let outside = text.contains("[workspace]");
        if !outside && !text.contains("[lints]\nworkspace = true") && !contained.contains(&folder.as_str()) {
            found.insert(folder);
        }
    }
    none(&found, "a crate takes the workspace's lints, which forbid unsafe code");
}

#[test]
fn every_dependency_has_its_reason() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    let (_, rest) = manifest.split_once("[workspace.dependencies]").expect("dependencies");
    let table = rest.split("\n[").next().unwrap_or(rest);
    let bare =
        table.lines().filter(|line| line.contains('=') && !line.starts_with('#') && !line.starts_with("pumasi-") && !line.contains("# "));
    none(&bare.map(str::to_owned).collect(), "each dependency has its reason beside it");
}

#[test]
fn the_map_names_every_room() {
    let map = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let rooms =
        ["tiers", "parts", "examples"].into_iter().flat_map(|floor| names(floor).into_iter().map(move |name| format!("{floor}/{name}")));
    none(&rooms.filter(|room| !map.contains(room)).collect(), "ARCHITECTURE.md is the map: a crate is not on it");
}

#[test]
fn no_path_of_somebodys_machine() {
    let mut found = BTreeSet::new();
    for file in files() {
        let Ok(text) = std::fs::read_to_string(root().join(&file)) else { continue };
        for (number, line) in text.lines().enumerate() {
            if ["home", "root", "Users"].iter().any(|folder| line.contains(&format!("/{folder}/"))) && !file.ends_with("tidy.rs") {
                found.insert(format!("{}:{}", file.display(), number + 1));
            }
        }
    }
    none(&found, "a path of one machine means nothing on another");
}

fn names(floor: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(floor)).expect("a folder of the tree");
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
