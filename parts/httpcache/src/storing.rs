//! May a response be stored, and on what terms (RFC 9111 §3, §4.2).
use crate::{
    Answered, Asked, Bypass, Expires, Method, Terms, date,
    directives::{Delta, ResponseDirectives},
    terms,
};

/// What the operator decides; everything else is the origin's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Guessed lifetime: this per cent of the time since Last-Modified (§4.2.2 suggests 10). 0: never guess.
    pub heuristic_percent: u8,
    /// The longest a guess may be, in seconds.
    pub heuristic_max_s: u32,
    /// How long a response may be served past its lifetime when the origin is down and said nothing about it. 0: not at all.
    pub stale_if_error_s: u32,
    /// How long past its lifetime while it is refetched in the background, when the origin said nothing about it. 0: not at all.
    pub stale_while_revalidate_s: u32,
    /// Lifetime of 404, 410 and other errors that come without one, so that a missing page does not cost a request each time. 0: not at all.
    pub negative_s: u32,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { heuristic_percent: 10, heuristic_max_s: 86_400, stale_if_error_s: 60, stale_while_revalidate_s: 0, negative_s: 0 }
    }
}

/// When the exchange with the origin took place, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// The request was sent.
    pub request_ms: u64,
    /// The response's head had arrived.
    pub response_ms: u64,
}

/// On what terms this cache, a shared one, may store the response. `query`: the target has one.
pub fn storing(asked: &Asked<'_>, answered: &Answered<'_>, query: bool, rules: &Rules, at: Exchange) -> Result<Terms, Bypass> {
    permitted(asked, answered)?;
    let lifetime = Lifetime::of(answered, rules, at);
    let lifetime = match lifetime {
        // A guess is made only where nobody can be surprised by it.
        Lifetime::Guessed(_) if answered.set_cookie => return Err(Bypass::SetCookie),
        Lifetime::Guessed(_) if query || asked.cookie => Lifetime::None,
        other => other,
    };
    let terms = terms(answered, lifetime, rules, at);
    let explicit = matches!(lifetime, Lifetime::Explicit(_));
    if asked.method == Method::Post && !explicit {
        return Err(Bypass::Method); // RFC 9110 §9.3.3: POST only with explicit freshness
    }
    let validator = answered.etag.is_some() || answered.last_modified.is_some();
    match lifetime {
        Lifetime::None if !(validator && reuse_defined(answered)) => Err(Bypass::NoFreshness),
        // Stale on arrival, or to be validated each time: worth keeping only if there is something to validate with.
        _ if !validator && (terms.no_cache() || !terms.fresh(at.response_ms)) && !terms.outlives(at.response_ms) => {
            Err(Bypass::NoFreshness)
        }
        _ => Ok(terms),
    }
}

/// The prohibitions of §3, in the order a reader would want to be told.
fn permitted(asked: &Asked<'_>, answered: &Answered<'_>) -> Result<(), Bypass> {
    let directives = &answered.directives;
    let understood = understood(answered.status);
    match () {
        () if !matches!(asked.method, Method::Get | Method::Post) => Err(Bypass::Method),
        () if asked.directives.no_store => Err(Bypass::RequestNoStore),
        // §5.2.2.3: a cache that understands the status ignores the no-store beside must-understand; others must not store.
        () if directives.must_understand && !understood => Err(Bypass::Status),
        () if directives.no_store && !directives.must_understand => Err(Bypass::NoStore),
        () if directives.private => Err(Bypass::Private),
        () if asked.authorization && !shareable(directives) => Err(Bypass::Authorization),
        () if answered.vary_all => Err(Bypass::VaryAll),
        // 304 updates what is stored; 1xx is not final; both are never stored themselves.
        // §3.3: a part is stored as the part it is, if it says which.
        () if answered.status == 206 && (asked.range.is_none() || answered.part.is_none()) => Err(Bypass::Partial),
        () if answered.status < 200 || answered.status == 304 => Err(Bypass::Status),
        () => Ok(()),
    }
}

/// §3.5: what lets a shared cache reuse the response to a request with Authorization.
pub(crate) fn shareable(directives: &ResponseDirectives<'_>) -> bool {
    directives.public || directives.must_revalidate || directives.s_maxage != Delta::Absent
}

/// Statuses whose meaning for reuse is defined (RFC 9110 §15, RFC 9111 §4.2.2): a lifetime may be guessed for them.
fn heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

fn reuse_defined(answered: &Answered<'_>) -> bool {
    heuristically_cacheable(answered.status) || answered.directives.public
}

/// Final statuses this cache knows the caching behaviour of.
fn understood(status: u16) -> bool {
    matches!(status, 200..=204 | 206 | 300..=303 | 307 | 308 | 400..=417 | 421 | 422 | 425 | 426 | 428 | 429 | 431 | 451 | 500..=505 | 511)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lifetime {
    /// The origin said so, in seconds.
    Explicit(u32),
    Guessed(u32),
    /// Nothing was said and nothing may be guessed.
    None,
}

impl Lifetime {
    /// §4.2.1: the first that applies of s-maxage, max-age, Expires, a guess.
    fn of(answered: &Answered<'_>, rules: &Rules, at: Exchange) -> Lifetime {
        let directives = &answered.directives;
        if let Some(seconds) = directives.s_maxage.or_zero().or(directives.max_age.or_zero()) {
            return Lifetime::Explicit(seconds);
        }
        let now_s = (at.response_ms / 1000) as i64;
        // §4.2.1: without a valid Date, the time of arrival stands in (RFC 9110 §6.6.1).
        let date = answered.date.and_then(|text| date::parse(text, now_s)).unwrap_or(now_s);
        if let Some(expires) = answered.expires.filter(|_| !answered.targeted) {
            // §5.3: an invalid date, such as 0, is in the past.
            let expires = match expires {
                Expires::Once(text) => date::parse(text, now_s),
                Expires::Repeated => None,
            };
            return Lifetime::Explicit(expires.map_or(0, |expires| clamped(expires - date)));
        }
        if !reuse_defined(answered) {
            return Lifetime::None;
        }
        if let Some(modified) = answered.last_modified.and_then(|text| date::parse(text, now_s)) {
            let guess = clamped((date - modified) / 100 * i64::from(rules.heuristic_percent));
            return Lifetime::Guessed(guess.min(rules.heuristic_max_s));
        }
        if answered.status >= 400 && rules.negative_s > 0 {
            return Lifetime::Guessed(rules.negative_s);
        }
        Lifetime::None
    }
}

fn terms(answered: &Answered<'_>, lifetime: Lifetime, rules: &Rules, at: Exchange) -> Terms {
    let directives = &answered.directives;
    let lifetime_s = match lifetime {
        Lifetime::Explicit(seconds) | Lifetime::Guessed(seconds) => seconds,
        Lifetime::None => 0,
    };
    // §4.2.4: these forbid serving stale. s-maxage does as well (§5.2.2.10), unless the same response says in so many words that
    // it may be served stale: then its author meant both.
    let forbidden = directives.must_revalidate || directives.proxy_revalidate || directives.no_cache;
    let implied = directives.s_maxage != Delta::Absent;
    let window = |said: Delta, default: u32| match said {
        _ if forbidden => 0,
        Delta::Seconds(seconds) => seconds,
        Delta::Invalid => 0,
        Delta::Absent if implied => 0,
        Delta::Absent => default,
    };
    let mut flags = terms::Flags::default();
    flags.set(terms::Flags::NO_CACHE, directives.no_cache);
    flags.set(terms::Flags::STALE_FORBIDDEN, forbidden || implied);
    flags.set(terms::Flags::ERRORS_NAMED, directives.stale_if_error != Delta::Absent);
    flags.set(terms::Flags::SHAREABLE, shareable(directives));
    Terms {
        response_ms: at.response_ms,
        initial_age_s: initial_age(answered, at),
        lifetime_s,
        stale_while_revalidate_s: window(directives.stale_while_revalidate, rules.stale_while_revalidate_s),
        stale_if_error_s: window(directives.stale_if_error, rules.stale_if_error_s),
        flags,
    }
}

/// §4.2.3, in whole seconds: Date has no more, so the fraction of the second in which both clocks stand must not count as age.
fn initial_age(answered: &Answered<'_>, at: Exchange) -> u32 {
    let now_s = (at.response_ms / 1000) as i64;
    let apparent = answered.date.and_then(|text| date::parse(text, now_s)).map_or(0, |date| clamped(now_s - date));
    let delay = at.response_ms.saturating_sub(at.request_ms) / 1000;
    let corrected = answered.age_s.saturating_add(u32::try_from(delay).unwrap_or(u32::MAX));
    apparent.max(corrected)
}

// === helpers ===

fn clamped(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}
