use std::time::Instant;

use super::*;
use crate::timer::Timers;

const SETTINGS: u8 = 4;
const PING: u8 = 6;

fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
    let mut bytes = (length as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags, 0, 0, 0, 1]);
    bytes.extend(vec![0xff; length]); // nothing of a payload may be taken for a header
    bytes
}

/// The frames in pieces of this size. How many were read before the credit was spent, if it was.
fn read(frames: &[Vec<u8>], piece: usize) -> (Rc<Calm>, Option<usize>) {
    let calm = Calm::new(0);
    let mut counted = Counted::new((), calm.clone(), Timers::new(Instant::now()));
    for piece in [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()].iter().flat_map(|preface| preface.chunks(piece)) {
        counted.reading.see(piece);
    }
    for (number, frame) in frames.iter().enumerate() {
        frame.chunks(piece).for_each(|piece| counted.reading.see(piece));
        if calm.spent() {
            return (calm, Some(number));
        }
    }
    (calm, None)
}

#[test]
fn frames_that_ask_for_nothing_run_out() {
    for (kind, flags, length) in [(PING, 0, 8), (SETTINGS, 0, 0), (2, 0, 5), (3, 0, 4), (DATA, 0, 0), (9, 0, 3), (0x16, 0, 70)] {
        for piece in [1, 7, 4096] {
            let spent = read(&vec![frame(kind, flags, length); 1100], piece).1;
            assert_eq!(spent, Some(CREDIT_MAX as usize), "type {kind} in pieces of {piece}");
        }
    }
}

#[test]
fn what_asks_for_something_earns_as_much_as_it_may_need() {
    let request = [frame(HEADERS, 5, 40), frame(3, 0, 4), frame(2, 0, 5)].concat(); // called off, and given a priority
    assert_eq!(read(&vec![request; 3000], 4096).1, None);
    let upload = [frame(DATA, 0, 1000), frame(PING, 0, 8)].concat();
    assert_eq!(read(&vec![upload; 3000], 4096).1, None);
    assert_eq!(read(&vec![frame(WINDOW_UPDATE, 0, 4); 5000], 4096).1, None);
    assert_eq!(read(&vec![frame(DATA, END_STREAM, 0); 3000], 4096).1, None);
}

#[test]
fn time_forgives() {
    let calm = Calm::new(0);
    (0..CREDIT_MAX).for_each(|_| calm.pay(0));
    assert!(!calm.spent());
    (0..50).for_each(|_| calm.pay(500)); // what half a second brings
    assert!(!calm.spent());
    calm.pay(500);
    assert!(calm.spent());
}
