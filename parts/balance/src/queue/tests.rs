use std::{
    sync::{Arc, atomic::AtomicBool},
    task::Wake,
};

use super::*;

#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Polls `ticket`'s turn once, with a bell that tells whether it was woken later.
fn poll(ticket: &mut Ticket<'_>) -> (Poll<()>, Arc<Bell>) {
    let bell = Arc::new(Bell::default());
    let answer = Pin::new(&mut ticket.turn()).poll(&mut Context::from_waker(&Waker::from(bell.clone())));
    (answer, bell)
}

fn rang(bell: &Bell) -> bool {
    bell.0.load(Ordering::SeqCst)
}

#[test]
fn the_queue_is_bounded() {
    let queue = Queue::new(2);
    let (a, _b) = (queue.enter().unwrap(), queue.enter().unwrap());
    assert_eq!(queue.enter().unwrap_err(), QueueFull);
    drop(a);
    assert!(queue.enter().is_ok());
    assert_eq!(queue.waiting(), 1);
}

#[test]
fn places_are_given_in_the_order_of_arrival() {
    let queue = Queue::new(9);
    let (mut first, mut second) = (queue.enter().unwrap(), queue.enter().unwrap());
    let (_, second_bell) = poll(&mut second);
    let (_, first_bell) = poll(&mut first);
    queue.wake_one();
    assert!(rang(&first_bell) && !rang(&second_bell));
    queue.wake_one();
    assert!(rang(&second_bell));
    assert!(poll(&mut first).0.is_ready() && poll(&mut second).0.is_ready());
}

#[test]
fn whoever_loses_the_place_keeps_its_rank() {
    let queue = Queue::new(9);
    let (mut first, mut second) = (queue.enter().unwrap(), queue.enter().unwrap());
    queue.wake_one();
    assert!(poll(&mut first).0.is_ready());
    let (again, first_bell) = poll(&mut first); // chose, found `Full`, waits once more
    let (_, second_bell) = poll(&mut second);
    assert!(again.is_pending());
    queue.wake_one();
    assert!(rang(&first_bell) && !rang(&second_bell));
}

#[test]
fn a_call_to_someone_who_left_goes_to_the_next() {
    let queue = Queue::new(9);
    let (first, mut second) = (queue.enter().unwrap(), queue.enter().unwrap());
    let (_, second_bell) = poll(&mut second);
    queue.wake_one();
    drop(first);
    assert!(rang(&second_bell));
}

#[test]
fn a_call_before_the_first_poll_is_not_lost() {
    let queue = Queue::new(9);
    let mut ticket = queue.enter().unwrap();
    queue.wake_one();
    assert!(poll(&mut ticket).0.is_ready());
    assert!(poll(&mut ticket).0.is_pending());
}
