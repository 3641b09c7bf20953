use super::*;

fn wanted(contains: Option<&str>) -> HttpProbe {
    HttpProbe { path: "/".into(), host: None, status_min: 200, status_max: 299, contains: contains.map(str::to_owned) }
}

/// What comes of an answer whose content arrives in these pieces: well, not yet, or why not.
fn judged(wanted: &HttpProbe, status: u16, pieces: &[&str]) -> Result<bool, String> {
    let Some(mut verdict) = Verdict::of(wanted, status)? else { return Ok(true) };
    for piece in pieces {
        if verdict.read(piece.as_bytes())? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn a_status_decides_alone_unless_content_is_asked_for() {
    assert_eq!(judged(&wanted(None), 204, &[]), Ok(true));
    assert_eq!(judged(&wanted(None), 302, &[]), Err("it answered 302".into()));
    assert_eq!(judged(&wanted(Some("up")), 200, &[]), Ok(false));
    assert_eq!(judged(&wanted(Some("up")), 503, &["up"]), Err("it answered 503".into()));
}

#[test]
fn a_text_is_found_across_pieces_and_within_the_bound() {
    assert_eq!(judged(&wanted(Some("all well")), 200, &["{status: al", "l we", "ll}"]), Ok(true));
    assert_eq!(judged(&wanted(Some("all well")), 200, &["{status: all w", "orse}"]), Ok(false));
    let padding = "x".repeat(PROBE_BYTES_MAX - 2);
    assert_eq!(judged(&wanted(Some("ok")), 200, &[&padding, "ok"]), Ok(true));
    let late = judged(&wanted(Some("ok")), 200, &[&padding, "xok"]);
    assert_eq!(late, Err("its answer does not contain \"ok\"".into()), "beyond the bound nothing is read");
}
