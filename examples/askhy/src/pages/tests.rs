use super::*;

#[test]
fn addresses_are_masked() {
    for (address, shown) in
        [("65.3.12.9", "65.3.*.*"), ("2001:db8:1:2::3", "2001:db8:*:*"), ("::1", "0:0:*:*"), ("unknown", "*"), ("<script>", "*")]
    {
        assert_eq!(masked(address), shown);
    }
}

#[test]
fn messages_are_text_and_never_markup() {
    let ask_of_an_attacker = Ask {
        id: 7,
        message: "<script>alert(1)</script> & \"quotes\"".into(),
        ip_address: "10.0.0.1".into(),
        register_time: "2026-05-01 09:30".into(),
    };
    let refused = Refused { message: "</textarea><b>", reason: "too <i>long</i>".into() };
    let page = ask(Language::English, &ask_of_an_attacker, &[], Some(&refused)).into_string();
    for forbidden in ["<script>", "<b>", "<i>"] {
        assert!(!page.contains(forbidden), "{forbidden} came through");
    }
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quotes&quot;"));
}

#[test]
fn the_same_rows_make_the_same_page() {
    let rows = [AskSummary {
        ask: Ask { id: 1, message: "응원해 주세요".into(), ip_address: "65.3.1.2".into(), register_time: "2026-05-01 09:30".into() },
        cheers: 1_024,
        cheerers: 812,
    }];
    let page = front(Language::Korean, &rows, None).into_string();
    assert_eq!(page, front(Language::Korean, &rows, None).into_string());
    assert!(page.contains("응원 1,024개 · 812곳에서") && page.contains("65.3.*.*") && !page.contains("65.3.1.2"));
}
