//! Contents of requests, kept while a recording asked for them: `pumasi load record --bodies`.

use std::{cell::RefCell, collections::HashMap};

use crate::request_id::RequestId;

/// One core's requests under way whose content may be wanted.
#[derive(Default)]
pub(crate) struct Contents {
    /// `None`: larger than [`CONTENT_MAX`].
    kept: RefCell<HashMap<u64, Option<Vec<u8>>>>,
}

/// Of one request. Forms and messages of programs are smaller; what is larger is an upload, which no recording repeats.
pub(crate) const CONTENT_MAX: usize = 8 * 1024;
/// Requests of one core at once: with the bound above, two megabytes. One more, and those before it are recorded without their contents.
const REQUESTS_MAX: usize = 256;

impl Contents {
    /// The next bytes of a request's content; `first`: there were none before, or they are being sent again.
    pub fn keep(&self, id: RequestId, first: bool, data: &[u8]) {
        let mut kept = self.kept.borrow_mut();
        if first && kept.len() >= REQUESTS_MAX {
            // Among them are those whose recording ended before they did: nobody will take them.
            kept.clear();
        }
        let content = match kept.get_mut(&id.number()) {
            Some(content) => content,
            None if first => kept.entry(id.number()).or_insert_with(|| Some(Vec::new())),
            None => return,
        };
        if first {
            *content = Some(Vec::new());
        }
        if content.as_ref().is_some_and(|content| content.len() + data.len() > CONTENT_MAX) {
            *content = None;
        }
        if let Some(content) = content {
            content.extend_from_slice(data);
        }
    }

    /// The whole content, if it was kept.
    pub fn take(&self, id: RequestId) -> Option<Box<[u8]>> {
        self.kept.borrow_mut().remove(&id.number())?.map(Vec::into_boxed_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_kept_whole_or_not_at_all() {
        let (contents, id) = (Contents::default(), RequestId::mixed);
        contents.keep(id(1), true, b"a=");
        contents.keep(id(1), false, b"1");
        assert_eq!((contents.take(id(1)).as_deref(), contents.take(id(1))), (Some(&b"a=1"[..]), None));
        contents.keep(id(2), true, b"first attempt");
        contents.keep(id(2), true, b"second");
        assert_eq!(contents.take(id(2)).as_deref(), Some(&b"second"[..]));
        contents.keep(id(3), true, &[b'x'; CONTENT_MAX]);
        contents.keep(id(3), false, b"y");
        contents.keep(id(3), false, b"z");
        assert_eq!(contents.take(id(3)), None, "its beginning would be another request");
        contents.keep(id(4), false, b"the rest of something");
        assert_eq!(contents.take(id(4)), None);
        for request in 0..2 * REQUESTS_MAX as u64 {
            contents.keep(id(request), true, b"x");
        }
        assert!(contents.kept.borrow().len() <= REQUESTS_MAX);
    }
}
