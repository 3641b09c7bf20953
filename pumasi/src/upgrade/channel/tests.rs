use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use super::*;

fn channels() -> (Channel, Channel) {
    let (ours, theirs) = Channel::pair().expect("a socket pair");
    (ours, Channel::of(theirs).expect("a socket"))
}

#[test]
fn a_socket_arrives_with_its_message_and_goes_on_listening() {
    let (ours, theirs) = channels();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound");
    ours.send(&"take this", Some(listener.as_fd())).expect("sent");
    // Who connects while nobody accepts waits.
    let mut client = TcpStream::connect(address).expect("the kernel accepts");
    client.write_all(b"hello").expect("sent");
    drop(listener);
    let Received::Message(text, Some(file)) = theirs.receive::<String>(Duration::from_secs(5)).expect("received") else {
        panic!("a message with a file");
    };
    assert_eq!(text, "take this");
    let (mut accepted, _) = TcpListener::from(file).accept().expect("it waited");
    let mut said = [0; 5];
    accepted.read_exact(&mut said).expect("its words as well");
    assert_eq!(&said, b"hello");
}

#[test]
fn silence_an_end_and_nonsense_are_told_apart() {
    let (ours, theirs) = channels();
    assert!(matches!(theirs.receive::<String>(Duration::ZERO), Ok(Received::Nothing)));
    ours.send(&7, None).expect("sent");
    assert!(theirs.receive::<String>(Duration::ZERO).is_err());
    drop(ours);
    assert!(matches!(theirs.receive::<String>(Duration::ZERO), Ok(Received::Closed)));
    assert!(theirs.send(&"late", None).is_err());
}

#[test]
fn what_is_no_socket_is_no_channel() {
    let file = std::fs::File::open("/dev/null").expect("there");
    assert!(Channel::of(file.into()).is_err());
}
