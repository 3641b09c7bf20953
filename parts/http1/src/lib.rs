//! Strict HTTP/1.1 codec, sans-I/O: bytes in, events out.
