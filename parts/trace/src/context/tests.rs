use super::*;

const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_callers_trace_goes_on_with_our_span() {
    let context = Context::of(Some(GIVEN.as_bytes()), 0xabcd, 7, 0);
    assert_eq!(hex(&context.parent.unwrap()), "00f067aa0ba902b7");
    assert_eq!(context.header(), "00-4bf92f3577b34da6a3ce929d0e0e4736-000000000000abcd-01");
    let unsampled = GIVEN.replace("-01", "-00");
    assert!(!Context::of(Some(unsampled.as_bytes()), 1, 7, 1).sampled, "the caller decides");
}

#[test]
fn what_is_no_traceparent_begins_a_new_trace() {
    for wrong in [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert_eq!(Context::of(Some(wrong.as_bytes()), 5, 7, 1).parent, None, "{wrong:?}");
    }
    let later = format!("{}-more", GIVEN.replacen("00", "01", 1));
    assert!(Context::of(Some(later.as_bytes()), 5, 7, 1).parent.is_some(), "a later version may say more");
}

#[test]
fn traces_differ_and_sampling_keeps_to_its_share() {
    let contexts: Vec<Context> = (1..=100_000).map(|id| Context::of(None, id, 99, 100)).collect();
    let traces: std::collections::BTreeSet<[u8; 16]> = contexts.iter().map(|context| context.trace).collect();
    assert_eq!(traces.len(), contexts.len());
    let sampled = contexts.iter().filter(|context| context.sampled).count();
    assert!((800..1200).contains(&sampled), "{sampled} of 100000");
    assert!(!Context::of(None, 1, 99, 0).sampled && Context::of(None, 1, 99, 1).sampled);
    assert_ne!(Context::of(None, 1, 99, 1).trace, Context::of(None, 1, 98, 1).trace, "another run");
    assert_eq!(Context::of(None, 0, 0, 1).header().len(), 55);
}
