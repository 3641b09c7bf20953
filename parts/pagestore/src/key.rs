//! What a page is stored under.
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::Arc,
};

/// A target: scheme, host and path with query, hashed once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Key {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) hash: u64,
}

impl Key {
    /// `http://example.org/path?query`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Makes keys. Hashing is keyed by this process' own dice: nobody outside can choose targets that collide.
#[derive(Default)]
pub struct Keys(RandomState);

impl Keys {
    pub fn of(&self, scheme: &str, host: &[u8], path_and_query: &[u8]) -> Key {
        let mut bytes = Vec::with_capacity(scheme.len() + 3 + host.len() + path_and_query.len());
        write_target(&mut bytes, scheme, host, path_and_query);
        self.of_bytes(bytes)
    }

    pub(crate) fn hash(&self, target: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(target);
        hasher.finish()
    }

    /// A whole target as [`Key::as_bytes`] writes it.
    pub fn of_bytes(&self, bytes: Vec<u8>) -> Key {
        Key { hash: self.hash(&bytes), bytes: bytes.into() }
    }

    /// A tag, for the purge marks.
    pub(crate) fn hash_tag(&self, tag: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(b"tag ");
        hasher.write(tag);
        hasher.finish()
    }
}

/// Appends a target as [`Key::as_bytes`] has it.
pub(crate) fn write_target(out: &mut Vec<u8>, scheme: &str, host: &[u8], path_and_query: &[u8]) {
    out.extend_from_slice(scheme.as_bytes());
    out.extend_from_slice(b"://");
    let start = out.len();
    out.extend_from_slice(host);
    out[start..].make_ascii_lowercase();
    out.extend_from_slice(path_and_query);
}
