//! Field names that somebody in Pumasi asks for, as small numbers: the head's parser looks each name up once, later questions
//! compare bytes of one, and lists such as "hop by hop" are a match.

macro_rules! known {
    ($($variant:ident = $name:literal),* $(,)?) => {
        /// A field name that is looked for by name somewhere. [`Known::Other`] is every other one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known { Other, $($variant),* }

        /// Ordered as written; [`BY_LENGTH`] finds those of one length.
        const NAMES: &[(&str, Known)] = &[$(($name, Known::$variant)),*];

        impl Known {
            /// The name in lower case; empty for [`Known::Other`].
            pub fn name(self) -> &'static str {
                match self { Known::Other => "", $(Known::$variant => $name),* }
            }
        }
    };
}

// Ordered by length: `BY_LENGTH` relies on it, and refuses to compile otherwise.
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
        let Some(&(from, to)) = BY_LENGTH.get(name.len()) else { return Known::Other };
        NAMES[from as usize..to as usize].iter().find(|(known, _)| same(known.as_bytes(), name)).map_or(Known::Other, |&(_, id)| id)
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

/// Whether `name` is `known` in any case; both have the same length. `known` is lower-case letters and dashes: only letters have bit 6,
/// and their case is bit 5. The last byte decides nearly every comparison, the rest goes without a branch per byte.
fn same(known: &[u8], name: &[u8]) -> bool {
    let difference = |(&k, &n): (&u8, &u8)| (k ^ n) & !((k & 0x40) >> 1);
    let last = known.last().zip(name.last()).map_or(0, difference);
    last == 0 && known.iter().zip(name).fold(0, |all, pair| all | difference(pair)) == 0
}

const LENGTH_MAX: usize = NAMES[NAMES.len() - 1].0.len();

/// `BY_LENGTH[n]` is the range of [`NAMES`] whose names have `n` bytes.
const BY_LENGTH: [(u8, u8); LENGTH_MAX + 1] = {
    let mut table = [(0, 0); LENGTH_MAX + 1];
    let mut i = 0;
    while i < NAMES.len() {
        let length = NAMES[i].0.len();
        assert!(i == 0 || NAMES[i - 1].0.len() <= length, "NAMES must be ordered by length");
        if table[length].1 == 0 {
            table[length].0 = i as u8;
        }
        table[length].1 = i as u8 + 1;
        i += 1;
    }
    table
};
