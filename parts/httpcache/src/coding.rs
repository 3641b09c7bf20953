//! Which content coding a client gets (RFC 9110 §12.5.3).
use crate::directives::elements;

/// A content coding that stored pages may be kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    Gzip,
    Brotli,
    Zstd,
}

impl Coding {
    pub const ALL: [Coding; 3] = [Coding::Gzip, Coding::Brotli, Coding::Zstd];

    /// As Content-Encoding says it.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }

    /// The coding of that name, in any case.
    pub fn named(name: &[u8]) -> Option<Coding> {
        match name {
            _ if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => Some(Coding::Gzip), // §8.4.1.3
            _ if name.eq_ignore_ascii_case(b"br") => Some(Coding::Brotli),
            _ if name.eq_ignore_ascii_case(b"zstd") => Some(Coding::Zstd),
            _ => None,
        }
    }
}

/// What an Accept-Encoding weighs how much, in thousandths; 0 is a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    codings: [u16; 3],
    identity: u16,
}

impl Accepted {
    /// `list`: the field's value; `None` if there is none, which says that the client takes the page as it is.
    ///
    /// An element whose weight is malformed is not there. Of two about the same coding the first counts.
    pub fn of(list: Option<&[u8]>) -> Accepted {
        let mut codings = [None; 3];
        let (mut identity, mut rest) = (None, None);
        for element in list.into_iter().flat_map(elements) {
            let mut parts = element.split(|b| *b == b';').map(<[u8]>::trim_ascii);
            let name = parts.next().unwrap_or_default();
            let Some(weight) = parts.find_map(parameter_q).unwrap_or(Some(1000)) else { continue };
            let place = match Coding::named(name) {
                Some(coding) => &mut codings[coding as usize],
                None if name == b"*" => &mut rest,
                None if name.eq_ignore_ascii_case(b"identity") => &mut identity,
                None => continue,
            };
            *place = place.or(Some(weight));
        }
        let codings = codings.map(|weight| weight.or(rest).unwrap_or(0));
        // Unless refused, the page as it is will do, if nothing better is there.
        let identity = identity.or(rest.filter(|weight| *weight == 0)).unwrap_or(1);
        Accepted { codings, identity }
    }

    /// Whether content in that coding may be sent.
    pub fn takes(&self, coding: Coding) -> bool {
        self.codings[coding as usize] > 0
    }

    /// The best for the client among `order`; among equals the earlier one. `None`: the page as it is.
    pub fn best(&self, order: impl Iterator<Item = Coding>) -> Option<Coding> {
        let mut best = None;
        let mut most = self.identity.saturating_sub(1); // at the same weight a coded form is smaller
        for coding in order {
            let weight = self.codings[coding as usize];
            if weight > most {
                (best, most) = (Some(coding), weight);
            }
        }
        best
    }
}

// === helpers ===

/// The weight in `q=...`; `None` for another parameter, `Some(None)` for a malformed weight.
fn parameter_q(parameter: &[u8]) -> Option<Option<u16>> {
    let value = parameter.strip_prefix(b"q=").or(parameter.strip_prefix(b"Q="))?;
    Some(thousandths(value))
}

/// RFC 9110 §12.4.2: `0`, `1`, or either with up to three decimals, of which those of 1 are zeros.
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, decimals) = match value {
        [whole @ b'0'..=b'1'] => (*whole, &[][..]),
        [whole @ b'0'..=b'1', b'.', decimals @ ..] if decimals.len() <= 3 && decimals.iter().all(u8::is_ascii_digit) => (*whole, decimals),
        _ => return None,
    };
    let part = (0..3).fold(0, |sum, i| sum * 10 + u16::from(decimals.get(i).map_or(0, |digit| digit - b'0')));
    let weight = 1000 * u16::from(whole - b'0') + part;
    (weight <= 1000).then_some(weight)
}
