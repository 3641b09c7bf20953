use std::future::Future;

use super::*;

/// The size of what `function` returns.
fn size<A, B, C, D, F: Future>(_: impl Fn(A, B, C, D) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn a_connection_that_waits_is_small() {
    // Its future is nearly all that a connection is while it waits for a next request. 1,376 bytes when this was written.
    let waiting = size(h1::serve::<TcpStream>);
    assert!(waiting <= 1536, "{waiting} bytes");
}
