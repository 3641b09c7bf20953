use super::*;
use crate::scenario::{Overrides, compile};
use pumasi_config::Source;

fn request(visitor: u64, at_ms: u64, method: &str, target: &str, status: u16) -> Recorded {
    Recorded {
        visitor,
        ended_unix_us: at_ms * 1000 + 10_000,
        took_us: 10_000,
        method: method.into(),
        target: target.into(),
        status,
        content_type: if method == "POST" { "application/json".into() } else { String::new() },
        read_bytes: 300,
        sent_bytes: 5_000,
        body: None,
    }
}

#[test]
fn bodies_that_were_recorded_are_sent_again_and_those_with_secrets_are_not() {
    let post = |visitor, target: &str, body: &str| Recorded {
        content_type: "application/x-www-form-urlencoded".into(),
        body: Some(body.into()),
        ..request(visitor, visitor * 10, "POST", target, 303)
    };
    let mut requests: Vec<Recorded> = (0..6).map(|n| post(n, &format!("/ask/{}/cheer", n % 2), &format!("message=go+{}", n % 3))).collect();
    requests.push(post(7, "/settings", "a=${b}\"c"));
    requests.push(post(8, "/login", "name=kim&password=MASKED"));
    let recording = Recording { requests, lost: 0, lasted: Duration::from_secs(60), bodies: true };
    let text = write(&recording, "http://127.0.0.1:1").unwrap();
    let source = Source { name: "recorded".into(), text: text.clone(), directory: ".".into() };
    let plan = compile(&source, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    let mut feeds: Vec<u64> = plan.feeds.iter().map(|feed| feed.rows()).collect();
    feeds.sort_unstable();
    assert_eq!(feeds, [6, 6], "addresses and bodies, as often as they were there\n{text}");
    let fixed = plan.steps.iter().find_map(|step| step.request.fixed.as_ref()).expect("/settings never changes");
    let fixed = String::from_utf8_lossy(fixed);
    assert!(fixed.ends_with("a=${b}\"c") && fixed.contains("application/x-www-form-urlencoded"), "{fixed}");
    assert!(text.contains("#   POST /login: 1 times") && !text.contains("password") && text.contains("against a copy"), "{text}");
}

#[test]
fn ways_through_the_site_come_back_with_their_pauses_and_their_data() {
    let mut requests = Vec::new();
    for visitor in 0..30 {
        let start = visitor * 1_000;
        requests.push(request(visitor, start, "GET", "/", 200));
        requests.push(request(visitor, start + 2_010, "GET", &format!("/items/{}?page=1", visitor % 3), 200));
        requests.push(request(visitor, start + 3_000, "POST", "/orders", 303));
        requests.push(request(visitor, start + 5_000, "GET", "/reset?token=MASKED", 200));
    }
    requests.push(request(99, 1, "GET", "/old/page${x}", 404));
    let recording = Recording { requests, lasted: Duration::from_secs(60), ..Recording::default() };
    let text = write(&recording, "http://127.0.0.1:1").unwrap();
    let source = Source { name: "recorded".into(), text: text.clone(), directory: ".".into() };
    let plan = compile(&source, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    assert_eq!(plan.scenarios.len(), 2, "{text}");
    assert_eq!((plan.scenarios[0].weight, plan.scenarios[1].weight), (30.0, 1.0), "{text}");
    // 31 journeys in a minute.
    assert!((plan.model.profile().peak() - 31.0 / 60.0).abs() < 0.01, "{text}");
    let (from, to) = plan.steps[0].think.unwrap();
    assert_eq!((from.as_millis(), to.as_millis()), (2_000, 2_000), "{text}");
    assert_eq!((plan.feeds.len(), plan.feeds[0].rows()), (1, 30), "as often as they were asked for\n{text}");
    assert!(text.contains("items/0?page=1") && text.contains("check = { status = [404] }"), "{text}");
    assert!(text.contains("#   POST /orders: 30 times, application/json, 300 B requests"), "{text}");
    assert!(!text.contains("MASKED") && text.contains("#   GET /reset: 30 times"), "{text}");
}

#[test]
fn many_ways_are_told_by_their_requests_and_nothing_is_an_error() {
    let requests = (0..60u64)
        .flat_map(|visitor| {
            (0..=visitor % 30).map(move |step| request(visitor, step * 100, "GET", &format!("/p{}", (visitor + step) % 40), 200))
        })
        .collect();
    let recording = Recording { requests, lost: 5, lasted: Duration::from_secs(10), ..Recording::default() };
    let text = write(&recording, "http://127.0.0.1:1").unwrap();
    let source = Source { name: "recorded".into(), text: text.clone(), directory: ".".into() };
    let plan = compile(&source, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    assert!(plan.scenarios.len() > 20 && plan.scenarios.len() <= 60, "{}", plan.scenarios.len());
    assert!(text.contains("5 more requests came too fast"), "{text}");
    let nothing = Recording { lasted: Duration::from_secs(1), ..Recording::default() };
    assert!(write(&nothing, "http://127.0.0.1:1").unwrap_err().contains("was there traffic"));
}
