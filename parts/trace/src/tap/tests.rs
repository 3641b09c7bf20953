use super::*;

fn exchange(target: &str, context: Option<Context>) -> Exchange {
    Exchange { target: target.into(), context, ..Exchange::default() }
}

#[test]
fn nobody_listens_until_somebody_does_and_each_gets_his_own() {
    let tap = Tap::default();
    assert!(!tap.wanted() && tap.context(None, 1, 1).is_none());
    tap.recording.open();
    tap.offer(exchange("/a", None));
    assert!(tap.wanted() && tap.tracing.take(10).is_empty());
    tap.trace(1);
    let sampled = tap.context(None, 1, 1);
    tap.offer(exchange("/b", sampled));
    tap.offer(exchange("/c", sampled.map(|context| Context { sampled: false, ..context })));
    assert_eq!(tap.recording.take(2).len(), 2);
    assert_eq!(tap.recording.take(2)[0].target.as_ref(), "/c", "oldest first");
    assert_eq!(tap.tracing.take(10).len(), 1);
    tap.recording.close();
    tap.offer(exchange("/d", None));
    assert!(tap.recording.take(10).is_empty());
}

#[test]
fn what_nobody_fetches_is_lost_and_counted() {
    let queue = Queue::default();
    queue.open();
    for _ in 0..WAITING_MAX + 3 {
        queue.put(Exchange::default());
    }
    assert_eq!((queue.lost(), queue.lost(), queue.take(usize::MAX).len()), (3, 0, WAITING_MAX));
}
