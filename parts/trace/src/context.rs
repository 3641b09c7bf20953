//! Which trace a request belongs to: the W3C's `traceparent`, and a new trace where there is none.

/// Where a request stands in a trace. Our span's parent is whoever called us; the upstream's parent is our span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    pub trace: [u8; 16],
    /// None: the trace begins here.
    pub parent: Option<[u8; 8]>,
    pub span: [u8; 8],
    pub sampled: bool,
}

impl Context {
    /// The context of a request that bears `header` (or none) and has the number `id`, which no other request has. `run` differs
    /// between runs of this program. A caller's decision about sampling stands; without one, one in `one_in` requests is sampled, none if
    /// that is 0. Always the same for the same arguments: who needs it twice makes it twice.
    pub fn of(header: Option<&[u8]>, id: u64, run: u64, one_in: u32) -> Context {
        // A span id of zero is invalid (W3C Trace Context section 3.2.2.4).
        let span = id.max(1).to_be_bytes();
        match header.and_then(parse) {
            Some((trace, parent, sampled)) => Context { trace, parent: Some(parent), span, sampled },
            None => {
                let mut trace = [0; 16];
                trace[..8].copy_from_slice(&mixed(id ^ run.rotate_left(32)).max(1).to_be_bytes());
                trace[8..].copy_from_slice(&mixed(id.wrapping_add(run)).to_be_bytes());
                let sampled = one_in > 0 && mixed(id).is_multiple_of(u64::from(one_in));
                Context { trace, parent: None, span, sampled }
            }
        }
    }

    /// The `traceparent` for whom we call: 55 characters of version 00.
    pub fn header(&self) -> String {
        format!("00-{}-{}-{:02x}", hex(&self.trace), hex(&self.span), u8::from(self.sampled))
    }
}

/// Section 3.2: `00-TRACE-PARENT-FLAGS` in lowercase hexadecimal. A later version may have more behind it.
pub(crate) fn parse(header: &[u8]) -> Option<([u8; 16], [u8; 8], bool)> {
    let header = header.trim_ascii();
    let (fixed, rest) = header.split_at_checked(55)?;
    let version = unhex::<1>(&fixed[..2])?[0];
    let dashes = [2, 35, 52].iter().all(|at| fixed[*at] == b'-');
    let ends = if version == 0 { rest.is_empty() } else { rest.is_empty() || rest[0] == b'-' };
    if version == 0xff || !dashes || !ends {
        return None;
    }
    let (trace, parent) = (unhex::<16>(&fixed[3..35])?, unhex::<8>(&fixed[36..52])?);
    let flags = unhex::<1>(&fixed[53..55])?[0];
    (trace != [0; 16] && parent != [0; 8]).then_some((trace, parent, flags & 1 == 1))
}

fn unhex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = digit(*text.get(2 * at)?)? << 4 | digit(*text.get(2 * at + 1)?)?;
    }
    (text.len() == 2 * N).then_some(out)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])).collect()
}

/// splitmix64's finish: numbers that differ in one bit come out unlike each other, and no two alike.
pub(crate) fn mixed(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests;
