use super::{Event::*, State::*};

/// Every state with every event: compare with the drawing on top of lifecycle.rs. A dot is "no change".
#[test]
fn the_whole_table() {
    let states = [Starting, Ready, Draining, Stopping, BackingOff, GivenUp, Gone];
    let events = [ProbeAnswered, TooSlow, Exited { deaths: 1 }, Exited { deaths: 5 }, PauseOver, Leave, Drained];
    let mut table = String::new();
    for state in states {
        let row = events.map(|event| match state.next(event, 5) {
            next if next == state => ".".to_owned(),
            next => next.name().to_owned(),
        });
        table += &format!("{:<12}{}\n", format!("{}:", state.name()), row.join(", "));
    }
    let expected = "\
starting:   ready, ., backing off, given up, ., stopping, .
ready:      ., ., backing off, given up, ., draining, .
draining:   ., ., gone, gone, ., ., stopping
stopping:   ., ., gone, gone, ., ., .
backing off:., ., ., ., starting, gone, .
given up:   ., ., ., ., ., gone, .
gone:       ., ., ., ., ., ., .
";
    assert_eq!(table, expected, "\n{table}");
}
