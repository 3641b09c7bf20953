//! Integers that begin in the low bits of a byte (RFC 7541 section 5.1).

/// Appends `value` behind the high bits of `first`, of which `bits` are free.
pub fn put(first: u8, bits: u32, value: usize, out: &mut Vec<u8>) {
    let most = (1usize << bits) - 1;
    if value < most {
        out.push(first | value as u8);
        return;
    }
    out.push(first | most as u8);
    let mut rest = value - most;
    while rest >= 128 {
        out.push(rest as u8 | 128);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Reads an integer whose first byte has `bits` of it, and returns it with the bytes behind. None: it is cut off, or beyond [`MAX`].
pub fn take(block: &[u8], bits: u32) -> Option<(usize, &[u8])> {
    let (first, mut rest) = block.split_first()?;
    let most = (1usize << bits) - 1;
    let mut value = usize::from(*first) & most;
    if value < most {
        return Some((value, rest));
    }
    for shift in (0..).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        // Four bytes behind the first reach beyond what any block of ours may hold; longer ones are an attack on the arithmetic.
        if shift > 21 {
            return None;
        }
        value += usize::from(byte & 127) << shift;
        if byte & 128 == 0 {
            break;
        }
    }
    (value <= MAX).then_some((value, rest))
}

/// No length and no index is larger.
const MAX: usize = 1 << 24;
