//! Structured field values (RFC 9651), as much of them as a dictionary of directives needs: everything is parsed, so that an invalid
//! field is known to be invalid, but only integers and booleans are kept.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Integer(i64),
    Boolean(bool),
    /// Decimal, string, token, bytes, date, display string or inner list.
    Other,
}

/// Parses a dictionary (§4.2.2) that may be spread over several lines, in order of first appearance; the last value of a key counts.
/// `None` if it fails anywhere: then the whole field is to be ignored.
pub(crate) fn dictionary<'a>(lines: &[&'a [u8]]) -> Option<Vec<(&'a [u8], Item)>> {
    let mut members: Vec<(&[u8], Item)> = Vec::new();
    for line in lines {
        let mut input = Input(line.trim_ascii());
        while !input.0.is_empty() {
            let key = input.key()?;
            let item = if input.eat(b'=') { input.item_or_list()? } else { Item::Boolean(true) };
            input.parameters()?;
            match members.iter_mut().find(|(known, _)| *known == key) {
                Some(member) => member.1 = item,
                None => members.push((key, item)),
            }
            input.blanks();
            if input.0.is_empty() {
                break;
            }
            if !input.eat(b',') {
                return None;
            }
            input.blanks();
            if input.0.is_empty() {
                return None; // a trailing comma
            }
        }
    }
    Some(members)
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn eat(&mut self, byte: u8) -> bool {
        let found = self.0.first() == Some(&byte);
        if found {
            self.0 = &self.0[1..];
        }
        found
    }

    fn take_while(&mut self, test: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|b| !test(*b)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn blanks(&mut self) {
        self.take_while(|b| b == b' ' || b == b'\t');
    }

    fn key(&mut self) -> Option<&'a [u8]> {
        matches!(self.0.first()?, b'a'..=b'z' | b'*').then_some(())?;
        Some(self.take_while(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')))
    }

    fn parameters(&mut self) -> Option<()> {
        while self.eat(b';') {
            self.take_while(|b| b == b' ');
            self.key()?;
            if self.eat(b'=') {
                self.bare_item()?;
            }
        }
        Some(())
    }

    fn item_or_list(&mut self) -> Option<Item> {
        if !self.eat(b'(') {
            return self.bare_item();
        }
        loop {
            self.take_while(|b| b == b' ');
            if self.eat(b')') {
                return Some(Item::Other);
            }
            self.bare_item()?;
            self.parameters()?;
            matches!(self.0.first()?, b' ' | b')').then_some(())?;
        }
    }

    fn bare_item(&mut self) -> Option<Item> {
        match self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string(),
            b'?' => {
                let value = match self.0.get(1)? {
                    b'0' => false,
                    b'1' => true,
                    _ => return None,
                };
                self.0 = &self.0[2..];
                Some(Item::Boolean(value))
            }
            b':' => {
                self.eat(b':');
                self.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'='));
                self.eat(b':').then_some(Item::Other)
            }
            b'@' => {
                self.eat(b'@');
                matches!(self.number()?, Item::Integer(_)).then_some(Item::Other)
            }
            b'%' => {
                self.eat(b'%');
                self.string()
            }
            b'*' | b'A'..=b'Z' | b'a'..=b'z' => {
                self.take_while(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&b));
                Some(Item::Other)
            }
            _ => None,
        }
    }

    /// At most 15 digits, or 12 and 3 behind a point (§4.2.4).
    fn number(&mut self) -> Option<Item> {
        let negative = self.eat(b'-');
        let whole = self.take_while(|b| b.is_ascii_digit());
        if whole.is_empty() {
            return None;
        }
        if self.eat(b'.') {
            let fraction = self.take_while(|b| b.is_ascii_digit());
            return (whole.len() <= 12 && (1..=3).contains(&fraction.len())).then_some(Item::Other);
        }
        if whole.len() > 15 {
            return None;
        }
        let value = whole.iter().fold(0, |n, b| n * 10 + i64::from(b - b'0'));
        Some(Item::Integer(if negative { -value } else { value }))
    }

    fn string(&mut self) -> Option<Item> {
        if !self.eat(b'"') {
            return None;
        }
        loop {
            let (first, rest) = self.0.split_first()?;
            self.0 = rest;
            match first {
                b'"' => return Some(Item::Other),
                b'\\' => {
                    matches!(self.0.first()?, b'"' | b'\\').then_some(())?;
                    self.0 = &self.0[1..];
                }
                b' '..=b'~' => {}
                _ => return None,
            }
        }
    }
}
