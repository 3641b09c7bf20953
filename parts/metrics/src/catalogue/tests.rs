use std::{collections::HashSet, path::PathBuf};

use super::*;

#[test]
fn names_follow_the_rules_of_prometheus() {
    let mut seen = HashSet::new();
    for family in ALL {
        let name = family.name;
        assert!(seen.insert(name), "{name} is declared twice");
        assert!(name.starts_with("pumasi_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}: counters, and only they, end in _total");
        let base_unit = name.contains("seconds") || name.contains("bytes");
        assert_eq!(base_unit, ["seconds", "bytes"].contains(&family.unit), "{name}: seconds and bytes stand in the name");
        assert!(family.meaning.ends_with('.') && family.remedy.ends_with('.') && !family.meaning.contains('\n'), "{name}");
    }
}

#[test]
fn the_manual_is_what_the_catalogue_says() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    if std::env::var_os("PUMASI_UPDATE").is_some() {
        std::fs::write(&path, manual()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == manual(), "docs/metrics.md is out of date; write it anew: PUMASI_UPDATE=1 cargo nextest run -p pumasi-metrics");
}
