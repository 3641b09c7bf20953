use super::*;

fn csv(text: &str) -> Result<Vec<Vec<String>>, String> {
    let (columns, rows) = parse_csv(text.as_bytes())?;
    let rows = rows.into_iter().map(|row| row.into_iter().map(|field| String::from_utf8(field).unwrap()).collect());
    Ok(std::iter::once(columns).chain(rows).collect())
}

#[test]
fn csv_is_read_as_rfc_4180_has_it() {
    let rows = csv("id,name\r\n1,\"a, \"\"b\"\"\r\nc\"\r\n2,고양이").unwrap();
    assert_eq!(rows, [["id", "name"], ["1", "a, \"b\"\r\nc"], ["2", "고양이"]]);
    assert_eq!(csv("\u{FEFF}id\n7\n\n8\n").unwrap(), [["id"], ["7"], ["8"]]);
}

#[test]
fn csv_mistakes_name_their_line() {
    assert!(csv("a,b\n1,2\n3\n").unwrap_err().starts_with("line 3: 1 fields"));
    assert!(csv("a\n\"open\nfor ever").unwrap_err().starts_with("line 2: a quote"));
    assert!(csv("a,b\n").unwrap_err().contains("rows after it"));
    assert!(csv("").is_err());
}

#[test]
fn integers_are_written_in_decimal() {
    for number in [0, 7, -7, 10, 1234567890, i64::MAX, i64::MIN] {
        let mut out = Vec::new();
        write_integer(number, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
    }
}

#[test]
fn a_sequential_feed_gives_every_row_before_any_twice() {
    let feed = Feed::range("n".into(), 5, 9, |_| Order::Sequential);
    let mut dice = Dice::new(0, 0);
    let drawn: Vec<String> = (0..7)
        .map(|_| {
            let mut out = Vec::new();
            let row = feed.draw(&mut dice);
            feed.write(row, 0, &mut out);
            String::from_utf8(out).unwrap()
        })
        .collect();
    assert_eq!(drawn, ["5", "6", "7", "8", "9", "5", "6"]);
}
