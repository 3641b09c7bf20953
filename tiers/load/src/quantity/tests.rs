use super::*;

#[test]
fn durations_have_a_unit() {
    let ms = |text| duration(text).map(|d| d.as_millis());
    assert_eq!(ms("300ms"), Ok(300));
    assert_eq!(ms("1.5s"), Ok(1500));
    assert_eq!(ms("1m30s"), Ok(90_000));
    assert_eq!(ms("2h"), Ok(7_200_000));
    for wrong in ["", "10", "s", "1x", "1..5s", "-1s", "9999h"] {
        assert!(duration(wrong).is_err(), "{wrong} was accepted");
    }
}

#[test]
fn shares_and_counts_are_bounded() {
    assert_eq!(share("0.1%"), Ok(0.001));
    assert_eq!(share("0.25"), Ok(0.25));
    assert_eq!(count("50k"), Ok(50_000.0));
    assert_eq!(count("0.5"), Ok(0.5));
    for wrong in ["101%", "-1%", "x"] {
        assert!(share(wrong).is_err(), "{wrong} was accepted");
    }
    for wrong in ["0", "-5", "k", "NaN", "inf"] {
        assert!(count(wrong).is_err(), "{wrong} was accepted");
    }
}

#[test]
fn what_is_shown_can_be_read_again() {
    for text in ["300ms", "1.5s", "1m30s", "2m", "250us"] {
        assert_eq!(show(duration(text).unwrap()), text);
    }
}
