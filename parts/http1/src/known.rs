//! Field names that somebody in Pumasi asks for, as small numbers: the head's parser looks each name up once, later questions
//! compare bytes of one, and lists such as "hop by hop" are a match.

macro_rules! known {
    ($($variant:ident = $name:literal),* $(,)?) => {
        /// A field name that is looked for by name somewhere. [`Known::Other`] is every other one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known { Other, $($variant),* }

        /// As written; [`PLACES`] finds them.
        const NAMES: &[(&str, Known)] = &[$(($name, Known::$variant)),*];

        impl Known {
            /// The name in lower case; empty for [`Known::Other`].
            pub fn name(self) -> &'static str {
                match self { Known::Other => "", $(Known::$variant => $name),* }
            }
        }
    };
}

known! {
    Te = "te",
    Age = "age", Via = "via",
    Date = "date", Etag = "etag", Host = "host", Vary = "vary",
    Allow = "allow", Range = "range",
    Accept = "accept", Cookie = "cookie", Expect = "expect", Pragma = "pragma", Server = "server",
    Expires = "expires", Referer = "referer", Trailer = "trailer", Upgrade = "upgrade",
    IfMatch = "if-match", IfRange = "if-range", Location = "location",
    CacheTag = "cache-tag", Forwarded = "forwarded", XRealIp = "x-real-ip",
    Connection = "connection", KeepAlive = "keep-alive", SetCookie = "set-cookie", UserAgent = "user-agent",
    RetryAfter = "retry-after", ContentType = "content-type", XRequestId = "x-request-id", CacheStatus = "cache-status",
    AcceptRanges = "accept-ranges", Authorization = "authorization", CacheControl = "cache-control", ContentRange = "content-range",
    IfNoneMatch = "if-none-match", LastModified = "last-modified", SurrogateKey = "surrogate-key",
    ContentLength = "content-length",
    AcceptEncoding = "accept-encoding", AcceptLanguage = "accept-language", XForwardedFor = "x-forwarded-for",
    ContentEncoding = "content-encoding",
    ContentLocation = "content-location",
    ProxyConnection = "proxy-connection", XForwardedHost = "x-forwarded-host",
    CdnCacheControl = "cdn-cache-control", IfModifiedSince = "if-modified-since", SurrogateControl = "surrogate-control",
    TransferEncoding = "transfer-encoding", XForwardedProto = "x-forwarded-proto",
    IfUnmodifiedSince = "if-unmodified-since",
}

impl Known {
    /// Looks `name` up, in any case.
    pub fn of(name: &[u8]) -> Known {
        let (Some(first), Some(last)) = (name.first(), name.last()) else { return Known::Other };
        let (text, known) = NAMES[PLACES[place(name.len(), *first, *last)] as usize];
        if text.len() == name.len() && same(text.as_bytes(), name) { known } else { Known::Other }
    }

    /// Its bit in a set of names; [`Known::Other`] has none.
    pub(crate) const fn bit(self) -> u64 {
        (1 << self as u64) & !1
    }

    /// Fields about this connection rather than the message (RFC 9110 §7.6.1); a proxy removes them whether or not Connection names them.
    ///
    /// Transfer-Encoding is one: the framing on the other side is written anew. Trailer is not: the trailers travel on.
    pub fn hop_by_hop(self) -> bool {
        matches!(self, Known::Connection | Known::KeepAlive | Known::ProxyConnection | Known::Te | Known::TransferEncoding | Known::Upgrade)
    }

    /// Fields that must not arrive as trailers because they frame, route or authorise the message (RFC 9110 §6.5.1).
    pub(crate) fn forbidden_in_trailers(self) -> bool {
        self.hop_by_hop() || matches!(self, Known::ContentLength | Known::Host | Known::Trailer | Known::Authorization | Known::Expect)
    }
}

// === helpers ===

/// Whether `name` is `known` in any case; both have the same length. `known` is lower-case letters and dashes: only letters have bit 6, and
/// their case is bit 5. Eight bytes at a time; the last eight may overlap those before.
fn same(known: &[u8], name: &[u8]) -> bool {
    let byte = |(&k, &n): (&u8, &u8)| (k ^ n) & !((k & 0x40) >> 1);
    let word = |k: &[u8; 8], n: &[u8; 8]| {
        let (k, n) = (u64::from_le_bytes(*k), u64::from_le_bytes(*n));
        (k ^ n) & !((k & 0x4040_4040_4040_4040) >> 1)
    };
    let (Some((known_last, name_last)), [known_words @ .., _], [name_words @ .., _]) =
        (known.last_chunk().zip(name.last_chunk()), known, name)
    else {
        return known.iter().zip(name).fold(0, |all, pair| all | byte(pair)) == 0;
    };
    let words = known_words.as_chunks().0.iter().zip(name_words.as_chunks().0);
    words.fold(word(known_last, name_last), |all, (k, n)| all | word(k, n)) == 0
}

/// Where a name would stand in [`PLACES`]. `first` and `last` in any case. The factors are such that no two names share a place; when a new one
/// does, this refuses to compile: try others.
const fn place(length: usize, first: u8, last: u8) -> usize {
    (length * 8 + (first | 0x20) as usize * 56 + (last | 0x20) as usize) % 256
}

/// Which of [`NAMES`] a name could be. Where none has its place it is the first, which it is not.
const PLACES: [u8; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < NAMES.len() {
        let name = NAMES[i].0.as_bytes();
        let at = place(name.len(), name[0], name[name.len() - 1]);
        assert!(table[at] == 0, "two names share a place");
        table[at] = i as u8;
        i += 1;
    }
    assert!(NAMES.len() < 63, "a set of names is a word of bits");
    table
};
