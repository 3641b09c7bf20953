use proptest::prelude::*;

use crate::*;

fn tokens(sql: &str) -> String {
    let mut shown = Vec::new();
    for token in Tokens::new(sql.as_bytes()) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        shown.push(match token {
            Token::Word(bytes) => text(bytes),
            Token::Quoted(bytes) => format!("name:{}", text(bytes)),
            Token::String(bytes) => format!("string:{}", text(bytes)),
            Token::Number(bytes) => format!("number:{}", text(bytes)),
            Token::Typed(bytes) => format!("typed:{}", text(bytes)),
            Token::Parameter => "?".into(),
            Token::Variable(bytes) => format!("variable:{}", text(bytes)),
            Token::Executable => "executable".into(),
            Token::Sign(sign) => char::from(sign).to_string(),
        });
    }
    shown.join(" ")
}

#[test]
fn a_statement_is_cut_where_mysql_cuts_it() {
    let check = |sql, expected: &str| assert_eq!(tokens(sql), expected, "{sql}");
    check("SELECT a FROM t", "SELECT a FROM t");
    check("a/* x */b -- y\nc # z\nd", "a b c d");
    check("5--3", "number:5 - - number:3");
    check("5 -- 3", "number:5");
    check("5 --", "number:5");
    check("'it''s' 'a\\'b' \"q\"\"\" ''", "string:'it''s' string:'a\\'b' string:\"q\"\"\" string:''");
    check("`a``b`.`c`", "name:`a``b` . name:`c`");
    check("'open", "string:'open");
    check("'open\\", "string:'open\\");
    check("/* open", "");
    check("1.5e-3+.5 1e5 1e t.1st 1st", "number:1.5e-3 + number:.5 number:1e5 1e t . 1st 1st");
    check("0x1F 0b01 x'1F' b'1' N'x' 0xZZ", "typed:0x1F typed:0b01 typed:x'1F' typed:b'1' typed:N'x' 0xZZ");
    check("@a @@global.b @'c d' a@b", "variable:@a variable:@@global.b variable:@'c d' a variable:@b");
    check("/*!40101 SET x */", "executable SET x");
    check("/*M! a */", "executable a");
    check("/*!50000SET*/ a */", "executable SET a * /");
    check("/*+ HINT(a) */ b", "b");
    check("a<=?", "a < = ?");
    check("표.값='값'", "표 . 값 = string:'값'");
}

#[test]
fn the_first_words_tell_the_class() {
    let check = |sql: &str, expected| assert_eq!(Class::of(sql.as_bytes()), expected, "{sql}");
    check("select 1", Class::Read);
    check("  /* c */ (SELECT 1) UNION (SELECT 2)", Class::Read);
    check("TABLE t", Class::Read);
    check("select * from t for update", Class::LockingRead);
    check("select * from t FOR SHARE", Class::LockingRead);
    check("select * from t lock in share mode", Class::LockingRead);
    check("with a as (select 1) select * from a", Class::Read);
    check("with a as (select 1) delete from t", Class::Write);
    check("with a as (select 1) select * from a for update", Class::LockingRead);
    check("INSERT INTO t VALUES (1)", Class::Write);
    check("replace t set a = 1", Class::Write);
    check("BEGIN", Class::Begin);
    check("start transaction read only", Class::Begin);
    check("start replica", Class::Other);
    check("commit", Class::Commit);
    check("rollback", Class::Rollback);
    check("ROLLBACK WORK TO SAVEPOINT a", Class::Savepoint);
    check("rollback to a", Class::Savepoint);
    check("savepoint a", Class::Savepoint);
    check("release savepoint a", Class::Savepoint);
    check("set names utf8mb4", Class::Set);
    check("truncate t", Class::Ddl);
    check("grant all on a to b", Class::Ddl);
    check("show tables", Class::Control);
    check("explain select 1", Class::Control);
    check("call p()", Class::Other);
    check("lock tables t write", Class::Other);
    check("/*! select */ 1", Class::Other);
    check(" -- nothing\n", Class::Empty);
}

fn digest(sql: &str) -> Result<(String, usize), Reason> {
    Digest::of(sql.as_bytes()).map(|digest| (digest.text, digest.operands.len()))
}

#[test]
fn a_digest_keeps_everything_but_the_values() {
    assert_eq!(digest("SELECT  a /* x */ FROM t WHERE b='x' AND c<=5 ; "), Ok(("SELECT a FROM t WHERE b=?1 AND c<=?2".into(), 2)));
    assert_eq!(digest("SELECT ? , -5"), Ok(("SELECT ?1 , -?2".into(), 2)));
    assert_eq!(digest("SELECT 1; SELECT 2"), Err(Reason::Unparsable));
    assert_eq!(digest("SELECT @a"), Err(Reason::Variable));
    assert_eq!(digest("SELECT /*!99999 a, */ b FROM t"), Err(Reason::ExecutableComment));
    assert_eq!(digest(&format!("SELECT 1{}", " ".repeat(STATEMENT_MAX))), Err(Reason::TooLarge));
    assert_eq!(digest(&"a ".repeat(TOKENS_MAX + 1)), Err(Reason::TooLarge));
    assert_eq!(Digest::of(b"SELECT \xff").unwrap_err(), Reason::Unparsable);
}

#[test]
fn values_that_a_server_calls_equal_have_one_key() {
    let text = |text: &'static str| Scalar::of_string(text.as_bytes());
    let reads = |constant: &Scalar, column| Key::of_constant(constant, column);
    let stored = |text: &str| Key::of_stored(&Scalar::Text(text.as_bytes().into())).unwrap();
    // Integers, however written.
    for constant in [Scalar::Int(7), text("'7'"), text("'007'")] {
        assert_eq!(reads(&constant, Comparison::Integer).unwrap(), [Key::of_stored(&Scalar::Int(7)).unwrap()]);
    }
    for constant in [text("' 7'"), text("'7x'"), text("'7.0'"), text("'1234567890123456'"), Scalar::of_number(b"7.0"), Scalar::Other] {
        assert_eq!(reads(&constant, Comparison::Integer), None, "{constant:?}");
    }
    // Texts under any collation: case, blanks at the end, and whatever is not plain.
    let keys = reads(&text("'Abc'"), Comparison::Text).unwrap();
    for value in ["abc", "ABC", "abc  "] {
        assert!(keys.contains(&stored(value)), "{value}");
    }
    for value in ["äbc", "abc\u{0}", "ａｂｃ", "abc\u{301}"] {
        assert!(keys.contains(&stored(value)), "{value:?} may equal 'abc' under some collation");
    }
    assert!(!keys.contains(&stored("abd")) && !keys.contains(&stored(" abc")));
    assert_eq!(reads(&text("'ä'"), Comparison::Text), None);
    assert_eq!(reads(&Scalar::Int(7), Comparison::Text), None, "'7', '07' and '7th' all equal 7");
    assert_eq!(reads(&Scalar::Null, Comparison::Text), Some(vec![]), "equal to nothing");
    assert_eq!(reads(&text("'2024-01-01'"), Comparison::Other), None);
    // Escapes.
    assert_eq!(text("'it''s'"), Scalar::Text(b"it's".as_slice().into()));
    assert_eq!(text(r"'a\'b\\c\nd'"), Scalar::Text(b"a'b\\c\nd".as_slice().into()));
    assert_eq!(text(r"'100\%'"), Scalar::Other);
    assert_eq!(text("'open"), Scalar::Other);
    assert_eq!(text("'"), Scalar::Other);
}

proptest! {
    #[test]
    fn any_bytes_are_cut_into_tokens_that_go_forward(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut tokens = Tokens::new(&bytes);
        let mut end = 0;
        while tokens.next().is_some() {
            prop_assert!(tokens.began() >= end || tokens.end() == tokens.began());
            prop_assert!(tokens.end() >= end && tokens.end() <= bytes.len());
            end = tokens.end();
        }
        Class::of(&bytes);
        let _ = Digest::of(&bytes);
    }

    #[test]
    fn a_digest_depends_on_no_value(a in "[a-z ]{0,8}", b in 0u64..1000, c in "[a-z]{0,8}", d in 0u64..1000) {
        let with = |text: &str, number| format!("SELECT x FROM t WHERE a = '{text}' AND b = {number}");
        let (one, other) = (with(&a, b), with(&c, d));
        prop_assert_eq!(Digest::of(one.as_bytes()).unwrap().text, Digest::of(other.as_bytes()).unwrap().text);
    }

    #[test]
    fn near_statements_never_panic(sql in "(SELECT|select|a|t|\\(|\\)|,|=|AND|OR|JOIN|ON|FROM|WHERE|IN|'x'|7|\\?|`|\"|@|\\.|\\*|/\\*|-| ){0,60}") {
        if let Ok(digest) = Digest::of(sql.as_bytes()) {
            analyse(&digest, &super::dependencies::Board);
        }
    }
}
