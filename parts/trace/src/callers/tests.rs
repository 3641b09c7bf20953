use super::*;

const GIVEN: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn sampled(tap: &Arc<Tap>, id: u64) -> Option<(Context, Arc<Tap>)> {
    tap.trace(1);
    Some((tap.context(Some(GIVEN), id, 1).unwrap(), tap.clone()))
}

fn parent(callers: &Callers, sql: &str) -> Option<[u8; 8]> {
    callers.statement(sql.as_bytes()).map(|calling| calling.context.parent.unwrap())
}

#[test]
fn a_statement_is_the_one_requests_and_of_two_nobodys() {
    let (tap, callers) = (Arc::new(Tap::default()), Arc::new(Callers::default()));
    assert_eq!(parent(&callers, "SELECT 1"), None, "nobody is there");
    let first = callers.enter(sampled(&tap, 7));
    assert_eq!(parent(&callers, "SELECT 1"), Some(7u64.to_be_bytes()));
    let second = callers.enter(sampled(&tap, 8));
    assert_eq!(parent(&callers, "SELECT 1"), None);
    drop(first);
    assert_eq!(parent(&callers, "SELECT 1"), Some(8u64.to_be_bytes()));
    let probe = callers.enter(None);
    assert_eq!(parent(&callers, "SELECT 1"), None, "a request that is not sampled is one as well");
    drop(second);
    assert_eq!(parent(&callers, "SELECT 1"), None);
    drop(probe);
    let crowd: Vec<Caller> = (0..INSIDE_MAX + 5).map(|id| callers.enter(sampled(&tap, id as u64))).collect();
    assert_eq!(parent(&callers, "SELECT 1"), None);
    drop(crowd);
    let alone = callers.enter(sampled(&tap, 9));
    assert_eq!(parent(&callers, "SELECT 1"), Some(9u64.to_be_bytes()), "nothing is left of the crowd");
    drop(alone);
}

#[test]
fn a_statement_may_say_itself_whose_it_is() {
    let (tap, callers) = (Arc::new(Tap::default()), Arc::new(Callers::default()));
    let _both = (callers.enter(sampled(&tap, 7)), callers.enter(sampled(&tap, 8)));
    let said = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let told = Some(0xb7ad_6b71_6920_3331u64.to_be_bytes());
    for (sql, parent_told) in [
        (format!("SELECT 1 /*route='x',traceparent='{said}'*/"), told),
        (format!("/*traceparent='{said}'*/ SELECT 1"), told),
        (format!("SELECT 1 /*traceparent='{}0'*/", &said[..54]), None),
        (format!("SELECT 'it''s', \"a\" /*traceparent='{said}'*/"), told),
        // In a value, behind a comment, and no trace at all.
        (format!("SELECT '/*traceparent=''{said}''*/'"), None),
        (format!("SELECT '/*traceparent=\\'{said}\\'*/'"), None),
        (format!("SELECT \"/*traceparent='{said}'*/\""), None),
        (format!("/* a */ SELECT \"traceparent='{said}'\""), None),
        ("SELECT 1 /*traceparent='nonsense'*/".to_owned(), None),
        (format!("SELECT '{}' /*traceparent='{said}'*/", "x".repeat(10_000)), told),
        (format!("SELECT \"{} /*traceparent='{said}'*/\"", "x".repeat(10_000)), None),
    ] {
        assert_eq!(parent(&callers, &sql), parent_told, "{sql:.80}");
    }
    let calling = callers.statement(format!("SELECT 1 /*traceparent='{said}'*/").as_bytes()).unwrap();
    let (database, text) = ("main".into(), "SELECT ?".into());
    calling.ended(|context| Statement { context, ended_unix_us: 5, took_us: 1, database, text, rows: 1, ok: true, kept: false });
    let told = &tap.statements.take(10)[0];
    assert_eq!((&*told.text, told.rows, told.context.trace[0]), ("SELECT ?", 1, 0x0a));
}
