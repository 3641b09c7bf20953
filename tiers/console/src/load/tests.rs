use super::*;

#[test]
fn a_wish_is_checked_before_anything_starts() {
    let good = Wanted::checked("/ask/1?x=2", " 50", "30", " evening ").unwrap();
    assert_eq!(good, Wanted { path: "/ask/1?x=2".into(), rate: 50, lasts_s: 30, name: "evening".into() });
    for (path, rate, lasts, name, says) in [
        ("http://elsewhere/", "50", "30", "", "begins with a slash"),
        ("/a b", "50", "30", "", "no spaces"),
        ("/a\r\nHost: x", "50", "30", "", "is no path"),
        ("/", "0", "30", "", "The rate must be a whole number from 1 to 100000, not \"0\"."),
        ("/", "many", "30", "", "not \"many\""),
        ("/", "50", "601", "", "The duration in seconds must be a whole number from 1 to 600"),
        ("/", "50", "30", "--html", "does not begin with a dash"),
        ("/", "50", "30", &"x".repeat(61), "at most 60 characters"),
    ] {
        let refused = Wanted::checked(path, rate, lasts, name).unwrap_err();
        assert!(refused.contains(says), "{refused}");
    }
}
