//! Who may change something: the token from the state directory, and sessions of browsers that showed it once.
use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Mutex,
};

/// The secret that allows changes, and the file a person finds it in.
#[derive(Clone)]
pub struct Token {
    secret: String,
    file: PathBuf,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("cannot read or make the console's token in {path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error("the console's token in {path} is shorter than {SECRET_CHARS_MIN} characters. Remove the file, and a new one is made")]
    Short { path: PathBuf },
}

impl Token {
    /// Reads the token from `path`, or makes one there that only the owner can read.
    pub fn load_or_create(path: &Path) -> Result<Token, TokenError> {
        let at = |source| TokenError::File { path: path.to_owned(), source };
        let secret = match std::fs::read_to_string(path) {
            Ok(text) => text.trim().to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let secret = random_text().map_err(at)?;
                let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(at)?;
                writeln!(file, "{secret}").and_then(|()| file.sync_all()).map_err(at)?;
                secret
            }
            Err(error) => return Err(at(error)),
        };
        if secret.len() < SECRET_CHARS_MIN {
            return Err(TokenError::Short { path: path.to_owned() });
        }
        Ok(Token { secret, file: path.to_owned() })
    }

    /// Where a person finds it.
    pub fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn matches(&self, shown: &str) -> bool {
        same(self.secret.as_bytes(), shown.trim().as_bytes())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("file", &self.file).finish_non_exhaustive()
    }
}

/// Browsers that showed the token. Kept in memory only: a restart asks again.
#[derive(Default)]
pub(crate) struct Sessions {
    /// Oldest first.
    ids: Mutex<VecDeque<String>>,
}

impl Sessions {
    /// A new session's id. The oldest ends when there are more than [`SESSIONS_MAX`].
    pub fn open(&self) -> std::io::Result<String> {
        let id = random_text()?;
        let mut ids = self.ids.lock().expect("nothing panics while holding it");
        if ids.len() == SESSIONS_MAX {
            ids.pop_front();
        }
        ids.push_back(id.clone());
        Ok(id)
    }

    pub fn knows(&self, shown: &str) -> bool {
        // Every id is compared, so that the time says nothing about which one was close.
        let ids = self.ids.lock().expect("nothing panics while holding it");
        ids.iter().fold(false, |found, id| found | same(id.as_bytes(), shown.as_bytes()))
    }

    pub fn close(&self, shown: &str) {
        self.ids.lock().expect("nothing panics while holding it").retain(|id| !same(id.as_bytes(), shown.as_bytes()));
    }
}

// === helpers ===

/// Browsers that may be signed in at once.
const SESSIONS_MAX: usize = 16;

/// A token somebody wrote by hand is refused below this: it could be guessed.
const SECRET_CHARS_MIN: usize = 16;

/// Compares in a time that depends on the lengths only, so that it cannot be guessed a byte at a time.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b));
    a.len() == b.len() && std::hint::black_box(difference) == 0
}

/// 160 bits from the kernel as 40 hexadecimal digits.
fn random_text() -> std::io::Result<String> {
    let mut bytes = [0; 20];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests;
