//! The static table and the dynamic one behind it (RFC 7541 section 2.3).

use std::collections::VecDeque;

/// What an entry costs beside its text (section 4.1).
const ENTRY_BYTES: usize = 32;

/// The newest entry has the index behind the static table's last.
pub const STATIC: usize = STATIC_TABLE.len();

/// The dynamic table: the newest entries that fit. Texts lie one behind the other in one buffer, so that an entry costs no allocation.
#[derive(Debug)]
pub struct Table {
    /// Newest first.
    entries: VecDeque<Entry>,
    text: Vec<u8>,
    bytes: usize,
    bytes_max: usize,
    /// Entries ever added.
    pub added: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    at: usize,
    name: usize,
    value: usize,
}

impl Table {
    pub fn new(bytes_max: usize) -> Table {
        Table { entries: VecDeque::new(), text: Vec::new(), bytes: 0, bytes_max, added: 0 }
    }

    pub fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// Smaller drops the oldest entries.
    pub fn resize(&mut self, bytes_max: usize) {
        self.bytes_max = bytes_max;
        self.make_room(0);
    }

    /// What index (from 1) stands for.
    pub fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        match index.checked_sub(1)? {
            fixed if fixed < STATIC => {
                let (name, value) = STATIC_TABLE[fixed];
                Some((name.as_bytes(), value.as_bytes()))
            }
            dynamic => {
                let entry = self.entries.get(dynamic - STATIC)?;
                let (name, value) = self.text[entry.at..entry.at + entry.name + entry.value].split_at(entry.name);
                Some((name, value))
            }
        }
    }

    /// An index for the field, or for its name alone.
    pub fn find(&self, name: &[u8], value: &[u8]) -> Option<Found> {
        let mut named = None;
        for index in 1..=STATIC + self.entries.len() {
            let (known, held) = self.get(index)?;
            if known == name {
                if held == value {
                    return Some(Found::Field(index));
                }
                named = named.or(Some(Found::Name(index)));
            }
        }
        named
    }

    /// One that is larger than the table empties it and is not kept (section 4.4).
    pub fn add(&mut self, name: &[u8], value: &[u8]) {
        self.added += 1;
        let bytes = name.len() + value.len() + ENTRY_BYTES;
        self.make_room(bytes);
        if bytes > self.bytes_max {
            return;
        }
        // The texts of dropped entries stay where they are until they are half of the buffer.
        if self.text.len() > 2 * self.bytes_max {
            self.tidy();
        }
        self.entries.push_front(Entry { at: self.text.len(), name: name.len(), value: value.len() });
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(value);
        self.bytes += bytes;
    }

    fn make_room(&mut self, bytes: usize) {
        while self.bytes + bytes > self.bytes_max {
            let Some(oldest) = self.entries.pop_back() else { return };
            self.bytes -= oldest.name + oldest.value + ENTRY_BYTES;
        }
    }

    /// Texts lie in the order in which they were added: what lies before the oldest entry's belongs to nobody.
    fn tidy(&mut self) {
        let from = self.entries.back().map_or(self.text.len(), |oldest| oldest.at);
        self.text.drain(..from);
        self.entries.iter_mut().for_each(|entry| entry.at -= from);
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found {
    Field(usize),
    Name(usize),
}

/// Appendix A.
const STATIC_TABLE: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
