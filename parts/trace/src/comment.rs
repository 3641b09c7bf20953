//! Whose statement it is by its own word: the comment that sqlcommenter and many drivers' instrumentation put at one end of it.

use std::ops::Range;

use crate::context::parse;

/// Bytes at each end of a statement in which it may say whose it is.
const COMMENT_REACH: usize = 2048;

const MARK: &[u8] = b"traceparent='";

/// A trace, the span within it, and whether it is sampled.
pub(crate) type Said = ([u8; 16], [u8; 8], bool);

/// The trace that a statement names in a comment (`/* traceparent='00-...' */`).
pub fn trace_said(sql: &[u8]) -> Option<[u8; 16]> {
    Some(comment(sql)?.1.0)
}

/// The statement without such a comment: what is different in every request, and means nothing to the server. The same bytes if there is none, or if it
/// stands in the middle.
pub fn without_trace(sql: &[u8]) -> &[u8] {
    // Nothing is searched in a statement that neither begins nor ends with a comment.
    if !sql.ends_with(b"*/") && !sql.starts_with(b"/*") {
        return sql;
    }
    match comment(sql) {
        Some((place, _)) if place.end == sql.len() => sql[..place.start].trim_ascii_end(),
        Some((place, _)) if place.start == 0 => sql[place.end..].trim_ascii_start(),
        _ => sql,
    }
}

/// Where such a comment stands, and what it says. Read from the beginning, in the language of the default settings: a value that somebody wrote into a
/// form is no comment.
pub(crate) fn comment(sql: &[u8]) -> Option<(Range<usize>, Said)> {
    let ends = [&sql[..sql.len().min(COMMENT_REACH)], &sql[sql.len().saturating_sub(COMMENT_REACH)..]];
    if !ends.iter().any(|end| find(end, MARK).is_some()) {
        return None;
    }
    let mut at = 0;
    while at < sql.len() {
        match sql[at] {
            quote @ (b'\'' | b'"' | b'`') => at = behind_quotation(sql, at + 1, quote),
            b'/' if sql[at..].starts_with(b"/*") => {
                let end = at + 2 + find(&sql[at + 2..], b"*/")? + 2;
                // What the server executes is no comment.
                let executed = matches!(sql.get(at + 2), Some(b'!' | b'+')) || sql[at + 2..].starts_with(b"M!");
                if !executed && let Some(said) = said_in(&sql[at + 2..end - 2]) {
                    return Some((at..end, said));
                }
                at = end;
            }
            b'#' => at += find(&sql[at..], b"\n")?,
            b'-' if sql[at..].starts_with(b"-- ") => at += find(&sql[at..], b"\n")?,
            _ => at += 1,
        }
    }
    None
}

fn said_in(comment: &[u8]) -> Option<Said> {
    let value = &comment[find(comment, MARK)? + MARK.len()..];
    parse(&value[..value.iter().position(|byte| *byte == b'\'')?])
}

fn behind_quotation(sql: &[u8], mut at: usize, quote: u8) -> usize {
    while at < sql.len() {
        match sql[at] {
            b'\\' if quote != b'`' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    sql.len()
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_comment_at_either_end_is_left_out_and_nothing_else_is() {
        let comment = format!("/*route='x',traceparent='{SAID}'*/");
        let plain = "SELECT n FROM t WHERE s = 'a''b' -- it's
 AND id = 1";
        for written in [format!("{plain} {comment}"), format!("{comment} {plain}"), format!("{plain}{comment}"), plain.to_owned()] {
            assert_eq!(without_trace(written.as_bytes()), plain.as_bytes());
            assert_eq!(trace_said(written.as_bytes()).is_some(), written != plain);
        }
        for kept in [
            format!("SELECT {comment} 1"),
            format!("SELECT '{plain}/*traceparent=''{SAID}''*/"),
            format!("SELECT \"{comment}"),
            format!("SELECT \"{}{comment}\" /**/", "x".repeat(5000)),
            format!("SELECT 1 /*!50000 + 1 {comment}"),
            format!("/*+ traceparent='{SAID}' */ SELECT 1"),
            "SELECT 1 /* a */".to_owned(),
            "/* a */ SELECT 1".to_owned(),
            format!("SELECT 1 # {comment}"),
        ] {
            assert_eq!(without_trace(kept.as_bytes()), kept.as_bytes(), "{kept}");
        }
    }
}
