use super::{counter::Counter, *};

#[test]
fn an_address_names_its_database() {
    let address = Address::parse("mysql://app:secret@10.0.0.9:3307/shop").unwrap();
    assert_eq!((address.host.as_str(), address.port, address.user.as_str()), ("10.0.0.9", 3307, "app"));
    assert_eq!((address.password.as_str(), address.database.as_str()), ("secret", "shop"));
    assert_eq!(Address::parse("mysql://db/shop").unwrap().user, "root");
    for url in ["mysql://db", "mysql://db/", "http://db/shop", "mysql://db:x/shop"] {
        assert!(Address::parse(url).is_err(), "{url}");
    }
}

#[test]
fn a_counter_accuses_what_is_stale_or_from_nowhere_and_nothing_else() {
    let counter = Counter::default();
    assert_eq!(counter.show(counter.floor(), Some(0)), Ok(()));
    counter.begin();
    let floor = counter.floor();
    assert_eq!(counter.show(floor, Some(0)), Ok(()), "a write under way may be seen or not");
    assert_eq!(counter.show(floor, Some(1)), Ok(()));
    assert_eq!(counter.show(counter.floor(), Some(0)), Err((1, 1)), "somebody was shown it");
    assert_eq!(counter.show(0, Some(2)), Err((0, 1)), "nobody wrote it");
    assert_eq!(counter.show(0, None), Err((0, 1)));
    counter.begin();
    counter.acknowledge();
    counter.acknowledge();
    assert_eq!(counter.show(counter.floor(), Some(1)), Err((2, 2)));
}

/// A row of two numbers as text, and one as a prepared statement's answer.
#[test]
fn rows_are_their_first_and_their_last_number() {
    assert_eq!(connection::decode(b"\x0212\x03345", false), Ok((12, 345)));
    assert_eq!(connection::decode(b"\x017", false), Ok((7, 7)));
    assert_eq!(connection::decode(b"\x00\x00\x09\x01\x00\x00\x00\x00\x00\x00", true), Ok((265, 265)));
    assert!(connection::decode(b"\x0512", false).is_err());
}
