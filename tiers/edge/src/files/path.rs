//! From the request's path to one below the directory, or to nothing.
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::PathBuf};

/// A file to be opened below a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Relative, without `.` and `..`.
    pub path: PathBuf,
}

/// What stands for a directory.
const INDEX: &str = "index.html";

/// The file that `path` names, under a route of the pattern `route`: what its `*` stands for, or for an exact route the last piece.
///
/// `None`: nothing is served under that name. Pieces are percent-decoded once, one by one, so that no encoding makes a slash; `..`, a NUL, an
/// encoded slash, and names that begin with a dot (`.git`, `.env`; but not `.well-known`) name nothing. Symbolic links are the opener's to judge.
pub(super) fn wanted(route: &str, path: &[u8]) -> Option<Wanted> {
    let below = match route.strip_suffix('*') {
        // `/assets*` takes `/assets-old/x` as well: what stands for the star begins at a slash.
        Some(prefix) => {
            let kept = prefix.rfind('/').map_or(0, |slash| slash + 1);
            path.get(kept..)?
        }
        None => path.rsplit(|&byte| byte == b'/').next()?,
    };
    let mut wanted = PathBuf::new();
    let mut last_empty = true;
    for piece in below.split(|&byte| byte == b'/') {
        let piece = decoded(piece)?;
        last_empty = piece.is_empty() || piece == b".";
        match &piece[..] {
            b"" | b"." => continue,
            b".well-known" => {}
            [b'.', ..] => return None,
            _ => {}
        }
        wanted.push(OsStr::from_bytes(&piece));
    }
    if last_empty {
        wanted.push(INDEX);
    }
    Some(Wanted { path: wanted })
}

/// RFC 3986 §2.1. `None` for what is no encoding, and for bytes that no name may have.
fn decoded(piece: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(piece.len());
    let mut rest = piece.iter();
    while let Some(&byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let digit = |byte: &u8| (*byte as char).to_digit(16).map(|digit| digit as u8);
                let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                high << 4 | low
            }
            other => other,
        };
        if matches!(byte, 0 | b'/') {
            return None;
        }
        out.push(byte);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_directory() {
        let check = |route: &str, path: &str, expected: Option<&str>| {
            let found = wanted(route, path.as_bytes()).map(|wanted| wanted.path.to_string_lossy().into_owned());
            assert_eq!(found.as_deref(), expected, "{route} {path}");
        };
        check("/*", "/", Some("index.html"));
        check("/*", "/a/b.css", Some("a/b.css"));
        check("/*", "/a/", Some("a/index.html"));
        check("/*", "/a%20b%C3%A4", Some("a bä"));
        check("/static/*", "/static/css/a.css", Some("css/a.css"));
        check("/static/*", "/static/", Some("index.html"));
        check("/static*", "/static/a.css", Some("static/a.css"));
        check("/favicon.ico", "/favicon.ico", Some("favicon.ico"));
        check("/*", "/.well-known/security.txt", Some(".well-known/security.txt"));
        check("/*", "//a///b/./c", Some("a/b/c"));
        for none in [
            "/../etc/passwd",
            "/a/../../b",
            "/a/..",
            "/%2e%2e/b",
            "/%2E./b",
            "/a%2f..%2fb",
            "/a%2Fb",
            "/%00",
            "/a%00.html",
            "/.git/config",
            "/a/.env",
            "/%2egit/config",
            "/..%00/",
            "/%",
            "/%4",
            "/%zz",
        ] {
            check("/*", none, None);
        }
        check("/*", "/a..b", Some("a..b"));
        check("/*", "/a%252f..%252fb", Some("a%2f..%2fb"));
    }
}
