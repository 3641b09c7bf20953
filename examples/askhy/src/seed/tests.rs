use std::collections::HashMap;

use super::*;
use crate::MESSAGE_CHARS_MAX;

#[test]
fn the_texts_are_literals_as_they_are_and_fit_their_column() {
    let mut dice = Dice(1);
    let asks = (0..200).map(|row| ask_message(row, &mut dice)).collect::<Vec<_>>();
    let cheers = (0..2_000).map(|_| cheer_message(&mut dice));
    for text in asks.into_iter().chain(cheers) {
        assert!(!text.contains(['\'', '\\']), "{text}");
        assert!((1..=MESSAGE_CHARS_MAX).contains(&text.chars().count()), "{text}");
    }
}

#[test]
fn every_row_is_there_and_every_run_is_the_same() {
    let run = || inserts(50, 1_234, &mut Dice(7)).collect::<Vec<_>>();
    let statements = run();
    assert_eq!(statements, run());
    let rows: Vec<u64> = statements.iter().map(|(_, rows)| *rows).collect();
    assert_eq!(rows, [50, 500, 500, 234]);
    for (text, rows) in &statements {
        assert_eq!(text.matches("'),(").count() as u64 + 1, *rows, "as many rows as claimed");
    }
    assert_eq!(inserts(0, 100, &mut Dice(7)).count(), 0, "no asks, nothing to cheer");
}

#[test]
fn cheers_gather_on_a_few_asks_and_reach_all() {
    let mut dice = Dice(7);
    let popularity = Popularity::new(50, &mut dice);
    let mut tally = HashMap::new();
    (0..50_000).for_each(|_| *tally.entry(popularity.choose(&mut dice)).or_insert(0) += 1);
    let (most, least) = (tally.values().max().unwrap(), tally.values().min().unwrap());
    assert_eq!(tally.len(), 50);
    assert!(tally.keys().all(|id| (1..=50).contains(id)));
    assert!(most > &(5 * least), "most {most}, least {least}");
}

#[test]
fn times_rise_through_the_spring() {
    assert_eq!(moment(0, 10, 0, 20), "2026-03-01 00:00:00");
    assert_eq!(moment(9, 10, FIRST_ASK_DAY + ASK_DAYS, CHEER_DAYS), "2026-04-26 00:00:00");
    let times: Vec<String> = (0..500).map(|row| moment(row, 500, 0, 60)).collect();
    assert!(times.is_sorted() && times[499].starts_with("2026-04-29"), "{}", times[499]);
}

#[test]
fn addresses_are_addresses() {
    let mut dice = Dice(3);
    for address in (0..1_000).map(|_| dice.address()) {
        assert!(address.parse::<std::net::IpAddr>().is_ok(), "{address}");
    }
}
