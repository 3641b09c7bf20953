//! The tests that are known to differ, by the reason.

use std::collections::BTreeMap;

/// From headings (`## reason`) and the names listed below each (`- main.kill`).
pub fn read(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut reason = None;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            reason = Some(heading.to_owned());
        } else if let (Some(reason), Some(names)) = (&reason, line.strip_prefix("- ")) {
            reasons.entry(reason.clone()).or_default().extend(names.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned));
        }
    }
    reasons
}
