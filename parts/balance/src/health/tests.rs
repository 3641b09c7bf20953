use super::*;

/// Drawing, code and this file are to be compared by eye: `table.txt` holds what every state does on every event.
#[test]
fn every_state_answers_every_event_as_the_table_says() {
    let states = [
        Health::NEW,
        Health::Up { failures: 2, probe_failures: 0 },
        Health::Up { failures: 0, probe_failures: 2 },
        Health::Ejected { until_us: 50 },
        Health::Probing,
        Health::Draining,
    ];
    let events = [
        Event::Succeeded,
        Event::Failed,
        Event::TrialSucceeded,
        Event::TrialFailed,
        Event::TrialAbandoned,
        Event::ProbeSucceeded,
        Event::ProbeFailed,
        Event::IntervalPassed,
        Event::Drain,
        Event::Undrain,
    ];
    let mut table = String::from("eject_after 3, ejected until 99; `no room` means as much of the pool is out as may be\n");
    for state in states {
        table += &format!("\n{state:?}\n");
        for event in events {
            let next = |may_eject| state.next(event, &Rules { eject_after: 3, eject_until_us: 99, may_eject });
            table += &match (next(true), next(false)) {
                (roomy, tight) if roomy == tight => format!("    {event:?} -> {roomy:?}\n"),
                (roomy, tight) => format!("    {event:?} -> {roomy:?}; no room: {tight:?}\n"),
            };
        }
    }
    let kept = include_str!("table.txt");
    assert!(table == kept, "the table changed; if that is meant, this is the new table.txt:\n{table}");
}

#[test]
fn a_word_holds_every_state_whole() {
    let most = COUNT_MAX;
    for state in [
        Health::NEW,
        Health::Up { failures: most, probe_failures: 1 },
        Health::Up { failures: 1, probe_failures: most },
        Health::Ejected { until_us: u64::MAX >> 4 },
        Health::Probing,
        Health::Draining,
    ] {
        assert_eq!(Health::unpack(state.pack()), state);
    }
}

#[test]
fn counters_stop_instead_of_wrapping() {
    let never = Rules { eject_after: 0, eject_until_us: 0, may_eject: true };
    let worst = Health::Up { failures: COUNT_MAX, probe_failures: COUNT_MAX };
    assert_eq!(worst.next(Event::Failed, &never), worst);
    assert_eq!(worst.next(Event::ProbeFailed, &never), worst);
}
