//! Any sequence of events is transactions or errors, within the bounds.
#![no_main]
use libfuzzer_sys::fuzz_target;
use pumasi_binlog::{Change, Groups, ROWS_MAX};

fuzz_target!(|events: Vec<Vec<u8>>| {
    let mut groups = Groups::new();
    for event in &events {
        let Ok(Some(group)) = groups.take(event) else { continue };
        let rows: usize = group.tables.values().map(|change| if let Change::Rows(rows) = change { rows.len() } else { 0 }).sum();
        assert!(rows <= ROWS_MAX);
    }
});
