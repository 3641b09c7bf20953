use std::task::Waker;

use super::*;

/// Takes at most so many bytes at once.
struct Narrow {
    took: Vec<u8>,
    width: usize,
}

impl AsyncWrite for Narrow {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = bytes.len().min(self.width);
        self.took.extend_from_slice(&bytes[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, _: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = pieces.iter().flat_map(|p| p.iter().copied()).take(self.width).collect();
        self.took.extend_from_slice(&all);
        Poll::Ready(Ok(all.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn own_and_shared_bytes_go_out_in_order_whatever_the_socket_takes() {
    for width in [1, 7, 5_000, 100_000] {
        let mut output = Output::new(Rc::default());
        let large = Bytes::from(vec![b'L'; 10_000]);
        output.buffer().extend_from_slice(b"head");
        output.share(&Bytes::from_static(b"a small one"), 2..7);
        output.share(&large, 0..10_000);
        output.share(&large, 0..10_000);
        output.buffer().extend_from_slice(b"end");
        output.share(&large, 0..9_000);
        let expected = [b"headsmall", &large[..], &large[..], b"end", &large[..9_000]].concat();
        assert_eq!(output.unsent(), expected.len());
        let mut socket = Narrow { took: Vec::new(), width };
        assert!(output.poll_flush(&mut Context::from_waker(Waker::noop()), &mut socket).is_ready());
        assert!(socket.took == expected, "width {width}");
        assert_eq!((output.unsent(), output.sent_total), (0, expected.len() as u64));
    }
}
