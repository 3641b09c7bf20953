//! The fields of a head or of a trailer section: one buffer, and offsets into it.

use crate::{FIELDS_MAX, Known, Limits, Refusal};

/// One field line as offsets into its [`Fields`]. 16 bytes, so that a usual head's fields are a few cache lines.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub known: Known,
    name: (u32, u16),
    value: (u32, u32),
}

impl Field {
    pub(crate) fn new(known: Known, name: (u32, u16), value: (u32, u32)) -> Field {
        Field { known, name, value }
    }

    /// Where the value lies in the buffer: start and length.
    pub(crate) fn value_span(&self) -> (u32, u32) {
        self.value
    }
}

/// A buffer with field lines in it. Order and case are kept as they arrived.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// The whole head for a message, the section for trailers.
    pub(crate) bytes: Vec<u8>,
    pub(crate) list: Vec<Field>,
    /// Which known names are among them: most questions are about fields that are not there.
    pub(crate) seen: u64,
}

impl Fields {
    /// A trailer section made of names and values from elsewhere (HTTP/2). What could frame or route the message (RFC 9110 §6.5.1), or
    /// is no field at all, is left out.
    pub fn trailers<'a>(pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in pairs {
            let known = Known::of(name);
            let clean = crate::is_token(name) && !value.iter().any(|&b| b.is_ascii_control() && b != b'\t');
            if known.forbidden_in_trailers() || !clean || name.len() > usize::from(u16::MAX) {
                continue;
            }
            let start = fields.bytes.len() as u32;
            fields.bytes.extend_from_slice(name);
            fields.bytes.extend_from_slice(b": ");
            let at = fields.bytes.len() as u32;
            fields.bytes.extend_from_slice(value);
            fields.bytes.extend_from_slice(b"\r\n");
            fields.seen |= known.bit();
            fields.list.push(Field { known, name: (start, name.len() as u16), value: (at, value.len() as u32) });
        }
        fields.bytes.extend_from_slice(b"\r\n");
        fields
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn fields(&self) -> &[Field] {
        &self.list
    }

    pub fn name(&self, field: &Field) -> &[u8] {
        &self.bytes[field.name.0 as usize..][..field.name.1 as usize]
    }

    /// Without surrounding whitespace.
    pub fn value(&self, field: &Field) -> &[u8] {
        &self.bytes[field.value.0 as usize..][..field.value.1 as usize]
    }

    /// Where the field's line begins in the buffer: the first byte of its name.
    pub fn line_start(&self, field: &Field) -> usize {
        field.name.0 as usize
    }

    /// Name and value of each field, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.list.iter().map(|field| (self.name(field), self.value(field)))
    }

    /// The first field of that name. [`Known::Other`] finds nothing.
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        self.all(known).next()
    }

    /// Every field of that name, in order. [`Known::Other`] finds nothing.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        let list = if self.has(known) { &self.list[..] } else { &[] };
        list.iter().filter(move |f| f.known == known).map(|f| self.value(f))
    }

    /// Whether there is a field of that name. [`Known::Other`] is never there.
    pub fn has(&self, known: Known) -> bool {
        self.seen & known.bit() != 0
    }

    /// The first field called `name`, in any case, known or not.
    pub fn get_named<'a>(&'a self, name: &'a str) -> Option<&'a [u8]> {
        self.all_named(name).next()
    }

    /// Every field called `name`, in any case, known or not.
    pub fn all_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }

    /// Whether a comma-separated field holds `token`, in any case.
    pub fn has_token(&self, known: Known, token: &str) -> bool {
        self.tokens(known).any(|t| t.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The non-empty elements of a comma-separated field, over all its lines (RFC 9110 §5.6.1). Not for values with quoted strings.
    pub fn tokens(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        self.all(known).flat_map(|value| value.split(|&b| b == b',')).map(<[u8]>::trim_ascii).filter(|t| !t.is_empty())
    }

    /// The raw field lines, each with its CR LF, without the first line and the empty one at the end.
    pub fn raw_lines(&self) -> &[u8] {
        match self.list.first() {
            Some(first) => &self.bytes[first.name.0 as usize..self.bytes.len() - 2],
            None => &[],
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
        self.seen = 0;
    }

    /// Makes room for `head`, whose fields come next: the list is empty.
    pub(crate) fn begin(&mut self) -> (&mut Vec<Field>, &mut u64) {
        self.list.clear();
        self.seen = 0;
        (&mut self.list, &mut self.seen)
    }

    /// Takes over `head` (ends in an empty line) and what httparse found in it; `first` is where the first field line must begin.
    ///
    /// httparse accepts lines that end in a lone LF, so the gap between each value and the next name is looked at again.
    pub(crate) fn take(&mut self, head: &[u8], first: usize, parsed: &[httparse::Header<'_>]) -> Result<(), Refusal> {
        self.bytes.clear();
        self.bytes.extend_from_slice(head);
        self.list.clear();
        self.seen = 0;
        let offset = |part: &[u8]| part.as_ptr() as usize - head.as_ptr() as usize;
        let mut line = first;
        for header in parsed {
            let name = header.name.as_bytes();
            let start = offset(name);
            if start != line || !head[..start].ends_with(b"\r\n") && start != 0 {
                return Err(Refusal::LineEnd);
            }
            // An empty value's slice may point anywhere: what counts is that it is empty.
            let (value, end) = match header.value {
                [] => ((start + name.len()) as u32, start + name.len() + 1),
                value => (offset(value) as u32, offset(value) + value.len()),
            };
            let known = Known::of(name);
            self.seen |= known.bit();
            self.list.push(Field {
                known,
                name: (start as u32, u16::try_from(name.len()).map_err(|_| Refusal::FieldName)?),
                value: (value, header.value.len() as u32),
            });
            let blank = head[end..].iter().take_while(|&&b| b == b' ' || b == b'\t').count();
            if !head[end + blank..].starts_with(b"\r\n") {
                return Err(Refusal::LineEnd);
            }
            line = end + blank + 2;
        }
        if line + 2 != head.len() || !head.ends_with(b"\r\n") { Err(Refusal::LineEnd) } else { Ok(()) }
    }

    /// Parses a trailer section: field lines up to and including an empty line. `None` while that line is not there yet.
    pub(crate) fn parse_trailers(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        let window = &input[..input.len().min(limits.head_bytes_max)];
        let mut scratch = [httparse::EMPTY_HEADER; FIELDS_MAX]; // written every time, but few messages have trailers
        let parsed = httparse::parse_headers(window, &mut scratch[..limits.fields_max.min(FIELDS_MAX)]);
        match parsed.map_err(|error| blame(error, window, Lines::OfFields))? {
            httparse::Status::Partial if input.len() > window.len() => Err(Refusal::HeadTooLong),
            httparse::Status::Partial => Ok(None),
            httparse::Status::Complete((length, parsed)) => {
                self.take(&window[..length], 0, parsed)?;
                match self.list.iter().any(|f| f.known.forbidden_in_trailers()) {
                    true => Err(Refusal::TrailerForbidden),
                    false => Ok(Some(length)),
                }
            }
        }
    }
}

/// What the lines of a buffer are, for [`blame`].
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Lines {
    AfterFirst,
    OfFields,
}

/// Turns httparse's error into the rule that was broken. Off the hot path, so it may look again.
pub(crate) fn blame(error: httparse::Error, head: &[u8], lines: Lines) -> Refusal {
    match error {
        httparse::Error::HeaderName => blame_name(head, lines),
        httparse::Error::HeaderValue => Refusal::FieldValue,
        httparse::Error::NewLine => Refusal::LineEnd,
        httparse::Error::Status => Refusal::StatusLine,
        httparse::Error::Token => Refusal::RequestLine,
        httparse::Error::TooManyHeaders => Refusal::TooManyFields,
        httparse::Error::Version => Refusal::Version,
    }
}

/// The first byte that is not a token's decides, so that the answer does not depend on what has arrived after it.
fn blame_name(head: &[u8], lines: Lines) -> Refusal {
    for line in head.split(|&b| b == b'\n').skip(usize::from(lines == Lines::AfterFirst)) {
        let token = line.iter().take_while(|&&b| crate::target::TOKEN[b as usize]).count();
        match line.get(token) {
            Some(b' ' | b'\t') if token == 0 => return Refusal::Folded,
            Some(b' ' | b'\t') => return Refusal::SpaceInFieldName,
            Some(b':') if token > 0 => {}
            Some(_) => return Refusal::FieldName,
            None => {}
        }
    }
    Refusal::FieldName
}
