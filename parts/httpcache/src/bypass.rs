//! Why a response was not looked for, or not stored. One vocabulary for Cache-Status, log, metric and console.

/// The reason, as a word that never changes its meaning: scripts count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bypass {
    // --- decided by the request ---
    /// Neither GET nor HEAD.
    Method,
    /// `Cache-Control: no-store` in the request (RFC 9111 §5.2.1.5).
    RequestNoStore,
    /// If-Match or If-Unmodified-Since: the origin must decide (RFC 9110 §13.1).
    Precondition,
    /// A protocol upgrade.
    Upgrade,
    /// A GET with content, which is no part of what a page is stored under (RFC 9110 §9.3.1).
    Content,
    /// A range nobody has the whole of.
    Range,
    // --- decided by the response ---
    NoStore,
    Private,
    /// The request carried Authorization and the response does not allow sharing (§3.5).
    Authorization,
    /// `Vary: *`: no later request can be known to match (§4.1).
    VaryAll,
    /// More names in Vary than the store follows.
    VaryTooLong,
    /// No lifetime, none to guess, and nothing to validate with: it could never be used.
    NoFreshness,
    /// The status says nothing about reuse, or is not understood and the response asks for understanding (§5.2.2.3).
    Status,
    /// A part of something; only whole responses are stored.
    Partial,
    /// Set-Cookie, and only a guess at freshness.
    SetCookie,
    /// Larger than `object_bytes_max`.
    TooLarge,
    /// It ended before its announced end.
    Incomplete,
    /// Trailers follow its content; the store has no place for them.
    Trailers,
    /// The page store's budget is spent on entries that are in use.
    NoRoom,
    // --- decided by the route or by automatic mode ---
    Off,
    /// A cookie of the request makes the page personal.
    Personal,
    /// A statement during the request whose answer is not a function of rows, or not understood.
    NotProvable,
    /// The request wrote, or another of the same worker did meanwhile.
    Wrote,
    /// Its worker read nothing through Pumasi: what the page is made of is not known.
    NothingRead,
    /// The route is on probation: its answers are being compared, and not given to others yet.
    Probation,
    /// Two answers of the route differed although nothing they were made of had changed.
    Demoted,
    /// The origin of its data was written to while it was made.
    Overtaken,
    /// Another process has taken over (an upgrade), and with it the store.
    HandedOver,
}

impl Bypass {
    /// The word in Cache-Status `detail`, logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Bypass::Method => "method",
            Bypass::RequestNoStore => "request-no-store",
            Bypass::Precondition => "precondition",
            Bypass::Upgrade => "upgrade",
            Bypass::Content => "content",
            Bypass::Range => "range",
            Bypass::NoStore => "no-store",
            Bypass::Private => "private",
            Bypass::Authorization => "authorization",
            Bypass::VaryAll => "vary-all",
            Bypass::VaryTooLong => "vary-too-long",
            Bypass::NoFreshness => "no-freshness",
            Bypass::Status => "status",
            Bypass::Partial => "partial",
            Bypass::SetCookie => "set-cookie",
            Bypass::TooLarge => "too-large",
            Bypass::Incomplete => "incomplete",
            Bypass::Trailers => "trailers",
            Bypass::NoRoom => "no-room",
            Bypass::Off => "off",
            Bypass::Personal => "personal",
            Bypass::NotProvable => "not-provable",
            Bypass::Wrote => "wrote",
            Bypass::NothingRead => "nothing-read",
            Bypass::Probation => "probation",
            Bypass::Demoted => "demoted",
            Bypass::Overtaken => "overtaken",
            Bypass::HandedOver => "handed-over",
        }
    }

    pub const ALL: [Bypass; 28] = [
        Bypass::Method,
        Bypass::RequestNoStore,
        Bypass::Precondition,
        Bypass::Upgrade,
        Bypass::Content,
        Bypass::Range,
        Bypass::NoStore,
        Bypass::Private,
        Bypass::Authorization,
        Bypass::VaryAll,
        Bypass::VaryTooLong,
        Bypass::NoFreshness,
        Bypass::Status,
        Bypass::Partial,
        Bypass::SetCookie,
        Bypass::TooLarge,
        Bypass::Incomplete,
        Bypass::Trailers,
        Bypass::NoRoom,
        Bypass::Off,
        Bypass::Personal,
        Bypass::NotProvable,
        Bypass::Wrote,
        Bypass::NothingRead,
        Bypass::Probation,
        Bypass::Demoted,
        Bypass::Overtaken,
        Bypass::HandedOver,
    ];
}
