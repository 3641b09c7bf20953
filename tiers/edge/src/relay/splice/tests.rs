use std::future::poll_fn;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (ours, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().expect("bound")), listener.accept());
    (ours.expect("connected"), accepted.expect("accepted").0)
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

#[test]
fn bytes_pass_from_socket_to_socket_and_the_end_shows() {
    run(async {
        let ((mut client, from), (to, mut member)) = (pair().await, pair().await);
        let pipes = Pipes::default();
        let mut pipe = pipes.take().expect("descriptors");
        let sent: Vec<u8> = (0..300_000u32).map(|i| (i * 7) as u8).collect();
        let writing = async {
            client.write_all(&sent).await.expect("sent");
            client.shutdown().await.expect("ended");
        };
        let moving = async {
            while poll_fn(|context| pipe.poll_fill(context, &from)).await.expect("filled") > 0 {
                assert!(pipe.holds <= PIPE_BYTES);
                while pipe.holds > 0 {
                    poll_fn(|context| pipe.poll_empty(context, &to)).await.expect("emptied");
                }
            }
        };
        let reading = async {
            let mut seen = vec![0; sent.len()];
            member.read_exact(&mut seen).await.expect("everything");
            assert!(seen == sent);
        };
        tokio::join!(writing, moving, reading);
        pipes.give(pipe);
        assert_eq!(pipes.0.borrow().len(), 1);
    });
}

#[test]
fn a_pipe_with_something_left_is_not_used_again() {
    run(async {
        let (mut client, from) = pair().await;
        let pipes = Pipes::default();
        let mut pipe = pipes.take().expect("descriptors");
        client.write_all(b"left").await.expect("sent");
        assert_eq!(poll_fn(|context| pipe.poll_fill(context, &from)).await.expect("filled"), 4);
        pipes.give(pipe);
        assert!(pipes.0.borrow().is_empty());
    });
}
