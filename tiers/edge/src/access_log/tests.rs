use super::*;

fn line<'a>() -> Line<'a> {
    Line {
        client: "1.2.3.4",
        date: "06/Nov/1994:08:49:37 +0000",
        id: *b"0123456789abcdef",
        method: b"GET",
        target: b"/a\"b\\\n\xff",
        host: b"a",
        version: "HTTP/1.1",
        status: 200,
        bytes: 216,
        took_us: 15,
        upstream: "app.1",
        pages: "",
        referer: b"",
        user_agent: b"curl",
    }
}

#[test]
fn a_line_is_one_line_whatever_the_client_sent() {
    let (mut a, mut b) = (String::new(), String::new());
    common(&mut a, &line());
    json(&mut b, &line());
    assert_eq!(
        a,
        "1.2.3.4 - - [06/Nov/1994:08:49:37 +0000] \"GET /a\\x22b\\x5c\\x0a\\xff HTTP/1.1\" 200 216 \"\" \"curl\" 15 app.1 - 0123456789abcdef\n"
    );
    assert_eq!(
        b,
        "{\"client\":\"1.2.3.4\",\"time\":\"06/Nov/1994:08:49:37 +0000\",\"method\":\"GET\",\"host\":\"a\",\"target\":\"/a\\\"b\\\\\\u000a\\u00ff\",\
         \"version\":\"HTTP/1.1\",\"status\":200,\"bytes\":216,\"took_us\":15,\"upstream\":\"app.1\",\"pages\":\"\",\"referer\":\"\",\
         \"user_agent\":\"curl\",\"request_id\":\"0123456789abcdef\"}\n"
    );
}

#[test]
fn a_writer_that_is_stuck_loses_lines_and_blocks_nobody() {
    struct Stuck(std::sync::mpsc::Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (release, wait) = std::sync::mpsc::channel();
    let log = start(Box::new(Stuck(wait)), 1).expect("a thread").pop().expect("one core");
    for _ in 0..BATCHES_MAX + 10 {
        log.write(AccessLog::Common, &line());
        log.flush();
    }
    assert!(log.lost.load(Ordering::Relaxed) >= 9);
    drop(release);
}
