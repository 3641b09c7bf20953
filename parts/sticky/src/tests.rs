use super::*;

const NOW: u64 = 1_800_000_000;
const LASTS: u64 = 3600;

fn key() -> Key {
    Key::new(&[7; 32])
}

#[test]
fn a_value_says_what_was_put_in_until_it_is_too_old() {
    let value = key().issue("app", u64::MAX - 3, NOW);
    let check = |now_s: u64, expected: Option<u64>| {
        let stuck = key().check("app", value.as_bytes(), now_s, LASTS);
        assert_eq!(stuck, expected.map(|age_s| Stuck { member: u64::MAX - 3, age_s }), "at {now_s}");
    };
    check(NOW, Some(0));
    check(NOW + LASTS, Some(LASTS));
    check(NOW + LASTS + 1, None);
    check(NOW - CLOCKS_DIFFER_S, Some(0));
    check(NOW - CLOCKS_DIFFER_S - 1, None);
}

#[test]
fn nothing_of_a_value_can_be_changed() {
    let value = key().issue("app", 42, NOW);
    for at in 0..value.len() {
        for other in *b"0f" {
            let mut changed = value.clone().into_bytes();
            if changed[at] != other {
                changed[at] = other;
                assert_eq!(key().check("app", &changed, NOW, LASTS), None, "digit {at}");
            }
        }
    }
}

#[test]
fn what_is_not_ours_is_overlooked() {
    let value = key().issue("app", 42, NOW);
    let check = |text: &str| assert_eq!(key().check("app", text.as_bytes(), NOW, LASTS), None, "{text:?}");
    check("");
    check(&value[1..]);
    check(&format!("{value}0"));
    check(&value.to_uppercase());
    check(&"x".repeat(value.len()));
    assert_eq!(key().check("shop", value.as_bytes(), NOW, LASTS), None, "another pool");
    assert_eq!(Key::new(&[8; 32]).check("app", value.as_bytes(), NOW, LASTS), None, "another key");
}
