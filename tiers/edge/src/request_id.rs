//! The name of one request.

/// Names one request in the error page, the access log and `X-Request-Id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(u64);

impl RequestId {
    /// `count` is one that no other request has. Mixed so that ids of neighbouring requests do not look alike in a log; multiplication by an
    /// odd number is a bijection.
    pub fn mixed(count: u64) -> RequestId {
        RequestId(count.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn number(self) -> u64 {
        self.0
    }

    /// 16 hexadecimal digits.
    pub fn text(self) -> [u8; 16] {
        std::array::from_fn(|i| b"0123456789abcdef"[(self.0 >> (60 - 4 * i)) as usize & 15])
    }
}
