//! Why a message is refused. One variant per rule, so that a test, a log line and a metric can name it.

use thiserror::Error;

/// A message that is not unambiguously HTTP/1.1. The connection it came on cannot be used any further: nobody knows where the
/// next message would begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// RFC 9112 §3: `method SP request-target SP HTTP-version`, single spaces, nothing else.
    #[error("the request line is malformed")]
    RequestLine,
    /// RFC 9112 §4: `HTTP-version SP status-code SP [ reason-phrase ]`, a status from 100 to 599 (RFC 9110 §15).
    #[error("the status line is malformed")]
    StatusLine,
    /// RFC 9112 §2.3: only HTTP/1.0 and HTTP/1.1 are spoken here.
    #[error("the HTTP version is not 1.0 or 1.1")]
    Version,
    /// RFC 9112 §2.2: a lone CR, or a line that ends in a lone LF. §2.2 allows to accept the latter; two parsers that differ there can be split.
    #[error("a line does not end in CR LF")]
    LineEnd,
    /// RFC 9110 §5.1: a field name is a token.
    #[error("a field name holds a byte that is not allowed")]
    FieldName,
    /// RFC 9112 §5.1: no whitespace between field name and colon.
    #[error("there is whitespace in a field name or before its colon")]
    SpaceInFieldName,
    /// RFC 9112 §5.2: obsolete line folding, or (§2.2) whitespace before the first field.
    #[error("a field line begins with whitespace")]
    Folded,
    /// RFC 9110 §5.5: CR, LF, NUL and the other control bytes are invalid in a field value.
    #[error("a field value holds a control byte")]
    FieldValue,
    /// Ours: [`crate::Limits::head_bytes_max`].
    #[error("the head is longer than allowed")]
    HeadTooLong,
    /// Ours: the request target alone exceeds [`crate::Limits::head_bytes_max`].
    #[error("the request target is longer than allowed")]
    TargetTooLong,
    /// Ours: [`crate::Limits::fields_max`].
    #[error("there are more fields than allowed")]
    TooManyFields,
    /// RFC 9112 §3.2: an HTTP/1.1 request has a Host field.
    #[error("the Host field is missing")]
    HostMissing,
    /// RFC 9112 §3.2: and only one.
    #[error("there is more than one Host field")]
    HostRepeated,
    /// RFC 9112 §3.2, RFC 9110 §4.2.1: `uri-host [ ":" port ]`, not empty, without user information.
    #[error("the Host field is not a host with an optional port")]
    HostInvalid,
    /// RFC 9112 §3.2.2: the authority of an absolute target and the Host field name different hosts.
    #[error("the Host field and the request target name different hosts")]
    HostMismatch,
    /// RFC 9112 §3.2: the target is in none of the four forms for its method, or holds a byte that no URI has (RFC 3986 §2).
    #[error("the request target is malformed")]
    Target,
    /// RFC 9112 §6.1: Transfer-Encoding together with Content-Length.
    #[error("there are both Transfer-Encoding and Content-Length")]
    LengthAndChunked,
    /// RFC 9112 §6.3 item 5: not `1*DIGIT`, or beyond 2^63.
    #[error("the Content-Length is not a number")]
    Length,
    /// RFC 9110 §8.6: several values. Equal ones could be merged; we do not repair.
    #[error("there is more than one Content-Length")]
    LengthRepeated,
    /// RFC 9112 §6.3 item 4: chunked is not the final coding, is applied twice or has parameters.
    #[error("chunked is not the one and last transfer coding")]
    ChunkedNotLast,
    /// RFC 9112 §6.1: a transfer coding other than chunked.
    #[error("the transfer coding is not known")]
    CodingUnknown,
    /// RFC 9112 §6.1: Transfer-Encoding in an HTTP/1.0 message is faulty framing.
    #[error("Transfer-Encoding in an HTTP/1.0 message")]
    ChunkedInHttp10,
    /// RFC 9110 §10.1.1: an expectation other than `100-continue`.
    #[error("the expectation is not known")]
    Expectation,
    /// RFC 9112 §7.1: `chunk-size [ chunk-ext ] CRLF`.
    #[error("a chunk's size line is malformed")]
    ChunkSize,
    /// RFC 9112 §7.1: a chunk's data is not followed by CR LF.
    #[error("a chunk's data does not end where its size says")]
    ChunkEnd,
    /// RFC 9112 §7.1.1: "a recipient ought to limit the total length of chunk extensions".
    #[error("the chunk extensions are longer than allowed")]
    ChunkExtensionTooLong,
    /// RFC 9110 §6.5.1: a field that frames or routes the message came as a trailer.
    #[error("a trailer field would change the message's framing")]
    TrailerForbidden,
    /// RFC 9110 §15.2.2: 101 although nobody asked for an upgrade.
    #[error("the protocol was switched unasked")]
    SwitchedUnasked,
    /// RFC 9112 §8: the connection ended in the middle of a message.
    #[error("the connection ended in the middle of a message")]
    Truncated,
    /// RFC 9112 §6.3 item 1 and §9.2: bytes that belong to no answer of ours.
    #[error("there are bytes after the end of the message")]
    Excess,
}

impl Refusal {
    /// The status of the answer to a request that is refused for this.
    pub fn status(self) -> u16 {
        match self {
            Refusal::HeadTooLong | Refusal::TooManyFields => 431, // RFC 6585 §5
            Refusal::TargetTooLong => 414,                        // RFC 9112 §3
            Refusal::CodingUnknown => 501,                        // RFC 9112 §6.1
            Refusal::Version => 505,                              // RFC 9110 §15.6.6
            Refusal::Expectation => 417,                          // RFC 9110 §10.1.1
            _ => 400,
        }
    }
}
