//! The code of RFC 7541 appendix B. It is canonical: the lengths of its codes, in the order of their symbols, say everything.

use std::sync::LazyLock;

/// Bits of each byte's code, and at last of the end of a string.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0x00
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 0x10
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // 0x20
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // 0x30
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // 0x40
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 0x50
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // 0x60
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 0x70
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 0x80
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 0x90
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 0xa0
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 0xb0
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 0xc0
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 0xd0
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 0xe0
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 0xf0
    30, // the end
];

/// The symbol that ends a string and must not occur in one.
const END: u16 = 256;
const BITS_MAX: usize = 30;
/// Codes of at most so many bits are looked up at once; they are those of nearly all text.
const QUICK_BITS: u32 = 9;

struct Code {
    /// By symbol: its code, in the low bits.
    codes: [u32; 257],
    /// By the next [`QUICK_BITS`] bits: symbol and length; length 0 where the code is longer.
    quick: Vec<(u8, u8)>,
    /// By length: the first code that is longer than it when both are filled up to 32 bits, and what turns such a code into a place.
    beyond: [u64; BITS_MAX + 1],
    first: [u32; BITS_MAX + 1],
    place: [u16; BITS_MAX + 1],
    /// Symbols in the order of their codes.
    order: Vec<u16>,
}

static CODE: LazyLock<Code> = LazyLock::new(Code::new);

impl Code {
    fn new() -> Code {
        let mut order: Vec<u16> = (0..=END).collect();
        order.sort_by_key(|symbol| (LENGTHS[usize::from(*symbol)], *symbol));
        let mut code = Code {
            codes: [0; 257],
            quick: vec![(0, 0); 1 << QUICK_BITS],
            beyond: [0; BITS_MAX + 1],
            first: [0; BITS_MAX + 1],
            place: [0; BITS_MAX + 1],
            order: Vec::new(),
        };
        let (mut next, mut at) = (0u64, 0);
        for bits in 1..=BITS_MAX {
            next <<= 1;
            (code.first[bits], code.place[bits]) = (next as u32, at as u16);
            while at < order.len() && usize::from(LENGTHS[usize::from(order[at])]) == bits {
                let symbol = order[at];
                code.codes[usize::from(symbol)] = next as u32;
                if bits as u32 <= QUICK_BITS {
                    let free = QUICK_BITS - bits as u32;
                    let from = (next as usize) << free;
                    code.quick[from..from + (1 << free)].fill((symbol as u8, bits as u8));
                }
                (next, at) = (next + 1, at + 1);
            }
            code.beyond[bits] = next << (32 - bits);
        }
        code.order = order;
        code
    }
}

/// Appends what `encoded` stands for. False if it is none: a code that does not exist, the end's code, or a filling that is not the
/// beginning of it or is longer than seven bits (section 5.2).
pub fn decode(encoded: &[u8], out: &mut Vec<u8>) -> bool {
    let code = &*CODE;
    // The bits not used yet, at the high end; behind them ones, as the filling has them.
    let (mut bits, mut count) = (u64::MAX, 0u32);
    let mut input = encoded.iter();
    loop {
        while count <= 56 {
            let Some(byte) = input.next() else { break };
            let shift = 56 - count;
            bits = bits & !(0xff << shift) | u64::from(*byte) << shift;
            count += 8;
        }
        let (symbol, length) = code.quick[(bits >> (64 - QUICK_BITS)) as usize];
        let (symbol, length) = match length {
            0 => {
                let window = bits >> 32;
                let Some(length) = (QUICK_BITS as usize + 1..=BITS_MAX).find(|length| window < code.beyond[*length]) else { return false };
                let place = usize::from(code.place[length]) + ((window >> (32 - length)) as u32 - code.first[length]) as usize;
                (code.order[place], length as u32)
            }
            length => (u16::from(symbol), u32::from(length)),
        };
        if length > count {
            // Only filling is left: ones, fewer than a byte.
            return count < 8 && bits == u64::MAX;
        }
        if symbol == END {
            return false;
        }
        out.push(symbol as u8);
        bits = bits << length | ((1 << length) - 1);
        count -= length;
    }
}

/// Bytes that `text` takes when encoded.
pub fn encoded_bytes(text: &[u8]) -> usize {
    text.iter().map(|byte| usize::from(LENGTHS[usize::from(*byte)])).sum::<usize>().div_ceil(8)
}

pub fn encode(text: &[u8], out: &mut Vec<u8>) {
    let code = &*CODE;
    let (mut bits, mut count) = (0u64, 0u32);
    for byte in text {
        let length = u32::from(LENGTHS[usize::from(*byte)]);
        bits = bits << length | u64::from(code.codes[usize::from(*byte)]);
        count += length;
        while count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    if count > 0 {
        out.push((bits << (8 - count)) as u8 | (0xff >> count));
    }
}
