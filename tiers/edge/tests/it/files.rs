//! Static content. Which paths lead where is tested beside the code; here files are on a disk and answers on a connection.
use std::time::{Duration, SystemTime};

use pumasi_config::{FilesPlan, PagesMode};
use pumasi_edge::Edge;

use crate::harness::*;

#[test]
fn a_file_comes_with_its_type_tag_and_time() {
    let site = Site::new(|_| {});
    let answer = site.ask("/css/a.css", "");
    assert_eq!((answer.status, answer.content.as_str()), (200, "body {}"));
    assert_eq!(answer.field("content-type").as_deref(), Some("text/css; charset=utf-8"));
    assert_eq!(answer.field("accept-ranges").as_deref(), Some("bytes"));
    assert_eq!(answer.field("last-modified").as_deref(), Some("Sun, 09 Sep 2001 01:46:40 GMT"));
    assert!(answer.field("etag").unwrap().starts_with('"'), "old enough to be strong");
    assert_eq!(answer.field("cache-control"), None);
    let head = site.head("/css/a.css");
    assert_eq!((field(&head, "content-length").as_deref(), field(&head, "etag")), (Some("7"), answer.field("etag")));
}

#[test]
fn a_file_changed_just_now_has_a_weak_tag() {
    let site = Site::new(|_| {});
    std::fs::write(site.home.path().join("new.txt"), "new").unwrap();
    assert!(site.ask("/new.txt", "").field("etag").unwrap().starts_with("W/"));
}

#[test]
fn directories_have_an_index_and_a_slash() {
    let site = Site::new(|_| {});
    assert_eq!(site.ask("/", "").content, "<h1>front</h1>");
    assert_eq!(site.ask("/docs/", "").content, "<h1>docs</h1>");
    let moved = site.ask("/docs?a=b", "");
    assert_eq!((moved.status, moved.field("location").as_deref()), (301, Some("/docs/?a=b")));
    assert_eq!(site.ask("//docs", "").field("location").as_deref(), Some("/docs/"), "no other host");
    assert_eq!(site.ask("/css/", "").status, 404, "no listing");
}

#[test]
fn what_is_not_below_the_directory_is_not_there() {
    let site = Site::new(|_| {});
    for path in ["/absent", "/../secret", "/%2e%2e/secret", "/css/..%2f..%2fsecret", "/link-out", "/.hidden", "/css/a.css/", "/pipe"] {
        assert_eq!(site.ask(path, "").status, 404, "{path}");
    }
    assert_eq!(site.ask("/link-in", "").content, "body {}");
}

#[test]
fn conditions_are_weighed_in_their_order() {
    let site = Site::new(|_| {});
    let etag = site.ask("/css/a.css", "").field("etag").unwrap();
    let check = |fields: &str, status: u16| assert_eq!(site.ask("/css/a.css", fields).status, status, "{fields}");
    check(&format!("If-None-Match: {etag}"), 304);
    check(&format!("If-None-Match: \"x\", W/{etag}"), 304);
    check("If-None-Match: *", 304);
    check("If-None-Match: \"x\"", 200);
    check("If-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT", 304);
    check("If-Modified-Since: Sun, 09 Sep 2001 01:46:39 GMT", 200);
    check("If-None-Match: \"x\"\r\nIf-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT", 200);
    check(&format!("If-Match: {etag}"), 200);
    check("If-Match: \"x\"", 412);
    check("If-Unmodified-Since: Sun, 09 Sep 2001 01:46:40 GMT", 200);
    check("If-Unmodified-Since: Sun, 09 Sep 2001 01:46:39 GMT", 412);
    check(&format!("If-Match: \"x\"\r\nIf-None-Match: {etag}"), 412);
    let had = site.ask("/css/a.css", &format!("If-None-Match: {etag}"));
    assert_eq!((had.field("etag"), had.field("content-length"), had.field("content-type")), (Some(etag), None, None));
}

#[test]
fn ranges_are_cut_from_the_file() {
    let site = Site::new(|_| {});
    let check = |range: &str, status: u16, content: &str, content_range: Option<&str>| {
        let answer = site.ask("/digits", &format!("Range: {range}"));
        assert_eq!(
            (answer.status, answer.content.as_str(), answer.field("content-range").as_deref()),
            (status, content, content_range),
            "{range}"
        );
    };
    check("bytes=0-1", 206, "01", Some("bytes 0-1/10"));
    check("bytes=-3", 206, "789", Some("bytes 7-9/10"));
    check("bytes=10-", 416, "", Some("bytes */10"));
    check("bytes=x", 200, "0123456789", None);
    check("bytes=0-3,2-5", 206, "012345", Some("bytes 0-5/10"));
    let several = site.ask("/digits", "Range: bytes=0-1,5-6");
    let boundary = several.field("content-type").unwrap().split("boundary=").nth(1).unwrap().to_owned();
    let part = |range: &str, bytes: &str| {
        format!("\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {range}/10\r\n\r\n{bytes}")
    };
    assert_eq!((several.status, several.content), (206, format!("{}{}\r\n--{boundary}--\r\n", part("0-1", "01"), part("5-6", "56"))));
    let etag = site.ask("/digits", "").field("etag").unwrap();
    assert_eq!(site.ask("/digits", &format!("Range: bytes=0-1\r\nIf-Range: {etag}")).status, 206);
    assert_eq!(site.ask("/digits", "Range: bytes=0-1\r\nIf-Range: \"x\"").status, 200);
}

#[test]
fn files_are_read_not_changed() {
    let site = Site::new(|_| {});
    let mut client = site.client();
    client.write("POST /digits HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    let answer = client.read_answer();
    assert_eq!((answer.status, answer.field("allow").as_deref()), (405, Some("GET, HEAD")));
}

#[test]
fn a_large_file_arrives_whole_whoever_reads_how() {
    let site = Site::new(|_| {});
    let large: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    site.write("large.bin", &large);
    let mut client = site.client();
    client.write("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\nGET /large.bin HTTP/1.1\r\nHost: a\r\nRange: bytes=100000-4000000\r\n\r\n");
    client.read_head().unwrap();
    assert!(client.read_exact(large.len()) == large);
    assert!(client.read_head().unwrap().starts_with("HTTP/1.1 206 "));
    assert!(client.read_exact(3_900_001) == large[100_000..=4_000_000]);
}

#[test]
fn a_file_that_shrinks_under_way_ends_the_connection() {
    let site = Site::new(|_| {});
    site.write("large.bin", &[b'x'; 30_000_000]);
    let mut client = site.client();
    client.write("GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_head().unwrap();
    client.read_exact(100_000);
    std::fs::OpenOptions::new().write(true).open(site.home.path().join("large.bin")).unwrap().set_len(1000).unwrap();
    assert!(client.read_to_end().len() < 29_900_000);
}

#[test]
fn compressed_siblings_are_sent_to_who_takes_them() {
    let site = Site::new(|files| files.precompressed = true);
    site.write("css/a.css.gz", b"as gzip");
    site.write("css/a.css.br", b"as brotli");
    site.write("css/orphan.css.br", b"of nothing");
    let check = |accepts: &str, content: &str, coding: Option<&str>| {
        let answer = site.ask("/css/a.css", &format!("Accept-Encoding: {accepts}"));
        assert_eq!((answer.content.as_str(), answer.field("content-encoding").as_deref()), (content, coding), "{accepts}");
        assert_eq!(answer.field("content-type").as_deref(), Some("text/css; charset=utf-8"));
        assert_eq!(answer.field("vary").as_deref(), Some("Accept-Encoding"));
        answer.field("etag").unwrap()
    };
    let brotli = check("gzip, br, zstd", "as brotli", Some("br"));
    let gzip = check("gzip, br;q=0.1", "as gzip", Some("gzip"));
    let plain = check("zstd", "body {}", None);
    assert!(brotli != gzip && gzip != plain);
    assert_eq!(site.ask("/css/orphan.css", "Accept-Encoding: br").status, 404);
}

#[test]
fn small_files_are_kept_like_any_page() {
    let text = "the same again and again ".repeat(400);
    let site = Site::with_pages(PagesMode::Standard, |files| files.cache_control = Some("max-age=60".into()));
    site.write("text.txt", text.as_bytes());
    assert_eq!(site.ask("/text.txt", "").field("cache-status").as_deref(), Some("pumasi; fwd=uri-miss; stored"));
    std::fs::remove_file(site.home.path().join("text.txt")).unwrap();
    assert!(site.ask("/text.txt", "").content == text);
    wait_until("it is compressed", || {
        let mut client = site.client();
        client.write("GET /text.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        field(&client.read_head().unwrap(), "content-encoding").as_deref() == Some("gzip")
    });
    assert_eq!(site.ask("/text.txt", "Range: bytes=0-3").content, "the ");
}

#[test]
fn a_kept_file_is_asked_about_and_not_read_again() {
    let site = Site::with_pages(PagesMode::Standard, |files| files.cache_control = Some("no-cache".into()));
    let first = site.ask("/digits", "");
    assert_eq!(first.content, "0123456789");
    let second = site.ask("/digits", "");
    assert_eq!(second.field("cache-status").as_deref(), Some("pumasi; fwd=stale; fwd-status=304"));
    site.write("digits", b"changed");
    assert_eq!(site.ask("/digits", "").content, "changed");
}

// === how these tests speak ===

struct Site {
    edge: Edge,
    home: tempfile::TempDir,
    _outside: tempfile::TempDir,
}

impl Site {
    fn new(configure: impl Fn(&mut FilesPlan)) -> Site {
        Site::with_pages(PagesMode::Off, configure)
    }

    fn with_pages(pages: PagesMode, configure: impl Fn(&mut FilesPlan)) -> Site {
        let (home, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut files = FilesPlan { directory: home.path().to_owned(), cache_control: None, precompressed: false };
        configure(&mut files);
        let mut setup = setup(&[]);
        let route = &mut setup.plan.routes[0];
        (route.pool, route.pages, route.files) = (String::new(), pages, Some(files));
        setup.plan.pages.memory_bytes = 8 << 20;
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        std::fs::create_dir_all(home.path().join("css")).unwrap();
        std::fs::create_dir_all(home.path().join("docs")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret"), home.path().join("link-out")).unwrap();
        std::os::unix::fs::symlink("css/a.css", home.path().join("link-in")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, home.path().join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let site = Site { edge: setup.start(), home, _outside: outside };
        for (name, content) in [
            ("index.html", "<h1>front</h1>"),
            ("docs/index.html", "<h1>docs</h1>"),
            ("css/a.css", "body {}"),
            ("digits", "0123456789"),
            (".hidden", "x"),
        ] {
            site.write(name, content.as_bytes());
        }
        site
    }

    /// A file of long ago, so that its tag is strong.
    fn write(&self, name: &str, content: &[u8]) {
        let path = self.home.path().join(name);
        std::fs::write(&path, content).unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        std::fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    }

    fn client(&self) -> Peer {
        Peer::connect(self.edge.addresses()[0])
    }

    fn ask(&self, path: &str, fields: &str) -> Answer {
        let mut client = self.client();
        let fields = if fields.is_empty() { String::new() } else { format!("{fields}\r\n") };
        client.write(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        client.read_answer()
    }

    fn head(&self, path: &str) -> String {
        let mut client = self.client();
        client.write(format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.read_head().unwrap()
    }
}
