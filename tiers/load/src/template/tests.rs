use super::*;
use crate::data::Order;

struct World {
    names: Names,
    feeds: Vec<Feed>,
    counters: Vec<AtomicU64>,
    dice: Dice,
}

fn world() -> World {
    let user = vec!["name".to_string(), "city".to_string()];
    World {
        names: Names {
            feeds: vec![("user".into(), user.clone()), ("n".into(), vec!["n".into()])],
            slots: vec!["next".into()],
            counters: Vec::new(),
        },
        feeds: vec![
            Feed::texts("user".into(), user, vec![vec!["고양이".into(), "Séoul & more".into()]], |_| Order::Sequential),
            Feed::range("n".into(), 41, 43, |_| Order::Sequential),
        ],
        counters: vec![AtomicU64::new(0), AtomicU64::new(0)],
        dice: Dice::new(1, 1),
    }
}

/// The rendered text, or the compiler's complaint, or a note that the value was refused.
fn render(text: &str, escape: Escape) -> String {
    let mut world = world();
    let template = match Template::compile(text, escape, &mut world.names) {
        Ok(template) => template,
        Err(reason) => return format!("error: {reason}"),
    };
    let mut out = Vec::new();
    let mut values =
        Values { slots: &[b"a\"b\r\nc/d".to_vec()], rows: &[0, 1], feeds: &world.feeds, counters: &world.counters, dice: &mut world.dice };
    if !template.render(&mut values, &mut out) {
        return "refused".to_string();
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn values_are_escaped_for_their_place() {
    assert_eq!(render("/u/${user.name}?c=${user.city}", Escape::Url), "/u/%EA%B3%A0%EC%96%91%EC%9D%B4?c=S%C3%A9oul%20%26%20more");
    assert_eq!(render("${user.city}", Escape::Form), "S%C3%A9oul+%26+more");
    assert_eq!(render("\"${next}\"", Escape::Json), "\"a\\\"b\\u000D\\u000Ac/d\"");
    assert_eq!(render("/${next}", Escape::Url), "/a%22b%0D%0Ac/d");
    assert_eq!(render("${raw user.city}", Escape::Url), "Séoul & more");
}

#[test]
fn a_raw_value_cannot_end_a_header_line() {
    assert_eq!(render("X: ${raw next}", Escape::Url), "refused");
}

#[test]
fn built_ins_make_values_up() {
    assert_eq!(render("${n}:${counter}:${counter}:${counter x}", Escape::Raw), "42:1:2:1");
    assert_eq!(render("${randint 7 7}", Escape::Raw), "7");
    let uuid = render("${uuid}", Escape::Raw);
    assert_eq!((uuid.len(), uuid.as_bytes()[14]), (36, b'4'), "{uuid}");
    assert!(render("${now}", Escape::Raw).parse::<u64>().unwrap() > 1_700_000_000_000);
    assert!(!render("${randint -9223372036854775808 9223372036854775807}", Escape::Raw).is_empty());
}

#[test]
fn text_without_values_is_fixed() {
    let template = Template::compile("a $${b} $c", Escape::Raw, &mut Names::default()).unwrap();
    assert_eq!(template.fixed(), Some(b"a ${b} $c".as_slice()));
}

#[test]
fn mistakes_say_what_is_known() {
    assert_eq!(render("${nxt}", Escape::Raw), "error: ${nxt} is not known here; known are next, user, n");
    assert_eq!(render("${user}", Escape::Raw), "error: ${user}: the columns of \"user\" are name, city");
    assert_eq!(render("${randint 5 1}", Escape::Raw), "error: ${randint 5 1}: 5 is greater than 1");
    assert_eq!(render("${randint 5}", Escape::Raw), "error: ${randint 5}: write it as ${randint FIRST LAST}");
    assert!(render("/x/${user.name", Escape::Raw).contains("never closed"));
}
