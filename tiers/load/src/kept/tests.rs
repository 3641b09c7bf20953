use super::*;
use std::time::Duration;

#[test]
fn days_become_dates() {
    let at = |seconds| stamp(UNIX_EPOCH + Duration::from_secs(seconds));
    assert_eq!(at(0), "19700101-000000");
    assert_eq!(at(951_782_399), "20000228-235959");
    assert_eq!(at(951_782_400), "20000229-000000");
    assert_eq!(at(1_709_251_199), "20240229-235959");
    assert_eq!(at(4_107_542_400), "21000301-000000");
    assert_eq!(date_and_time(1_795_176_019_000), "2026-11-20 12:00:19 UTC");
}

fn report(id: &str, name: &str, tags: &[&str]) -> Report {
    let mut report: Report = crate::report::tests::sample();
    report.id = id.to_string();
    report.name = name.to_string();
    report.tags = tags.iter().map(|tag| tag.to_string()).collect();
    report
}

#[test]
fn runs_are_found_by_id_beginning_name_and_last() {
    let state = tempfile::tempdir().unwrap();
    let kept = Kept::new(state.path());
    assert!(kept.list().unwrap().is_empty());
    assert!(kept.find("last").unwrap_err().to_string().contains("nothing was kept"));
    for (id, name) in [("20260101-000000-a", "a"), ("20260102-000000-b", "b"), ("20260103-000000-b", "b")] {
        kept.keep(&report(id, name, &[])).unwrap();
    }
    assert_eq!(kept.find("20260102-000000-b").unwrap().id, "20260102-000000-b");
    assert_eq!(kept.find("20260101").unwrap().id, "20260101-000000-a");
    assert_eq!(kept.find("b").unwrap().id, "20260103-000000-b");
    assert_eq!(kept.find("last").unwrap().id, "20260103-000000-b");
    assert!(matches!(kept.find("2026010"), Err(KeptError::Ambiguous { .. })));
    assert!(kept.find("20260104-000000-b").unwrap_err().to_string().contains("did you mean"));
    kept.remove("20260103-000000-b").unwrap();
    assert_eq!(kept.find("b").unwrap().id, "20260102-000000-b");
}

#[test]
fn a_kept_report_is_read_back_as_it_was() {
    let state = tempfile::tempdir().unwrap();
    let kept = Kept::new(state.path());
    let before = report("20260101-000000", "n", &["nightly"]);
    kept.keep(&before).unwrap();
    assert_eq!(kept.find("20260101-000000").unwrap(), before);
}

#[test]
fn a_file_that_is_no_report_is_told_not_skipped() {
    let state = tempfile::tempdir().unwrap();
    let kept = Kept::new(state.path());
    fs::create_dir_all(state.path().join("load")).unwrap();
    fs::write(state.path().join("load/x.json"), "{}").unwrap();
    assert!(matches!(kept.list().unwrap().as_slice(), [Err(KeptError::Format { .. })]));
}

#[test]
fn the_oldest_unlabelled_run_makes_room() {
    let state = tempfile::tempdir().unwrap();
    let kept = Kept::new(state.path());
    fs::create_dir_all(state.path().join("load")).unwrap();
    for i in 0..RUNS_MAX {
        let tags: &[&str] = if i == 0 { &["keep"] } else { &[] };
        let text = serde_json::to_string(&report(&format!("{i:06}"), "", tags)).unwrap();
        fs::write(state.path().join(format!("load/{i:06}.json")), text).unwrap();
    }
    kept.keep(&report("999999", "", &[])).unwrap();
    let ids = kept.ids().unwrap();
    assert_eq!(ids.len(), RUNS_MAX);
    assert_eq!(&ids[..2], ["000000", "000002"]);
}
