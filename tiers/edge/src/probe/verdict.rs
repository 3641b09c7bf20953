//! Whether an answer is what a probe wants.

use pumasi_config::HttpProbe;

/// Bytes of an answer that are read, once for its head and once for its content: what is looked for is in them, or it is not there.
pub(super) const PROBE_BYTES_MAX: usize = 64 << 10;

/// An answer as it is compared with what is expected.
pub(crate) struct Verdict<'a> {
    wanted: &'a HttpProbe,
    content: Vec<u8>,
}

impl Verdict<'_> {
    /// The answer's head has come. `Ok(None)`: its content decides.
    pub fn of(wanted: &HttpProbe, status: u16) -> Result<Option<Verdict<'_>>, String> {
        match (wanted.status_min..=wanted.status_max).contains(&status) {
            false => Err(format!("it answered {status}")),
            true => Ok(wanted.contains.is_some().then_some(Verdict { wanted, content: Vec::new() })),
        }
    }

    /// More of the content has come. Whether what was looked for is in it; an error once that cannot be any more.
    pub fn read(&mut self, data: &[u8]) -> Result<bool, String> {
        let Some(text) = self.wanted.contains.as_deref() else { return Ok(true) };
        // It may begin in what came before.
        let from = self.content.len().saturating_sub(text.len());
        let room = PROBE_BYTES_MAX.saturating_sub(self.content.len());
        self.content.extend_from_slice(&data[..data.len().min(room)]);
        match memchr::memmem::find(&self.content[from..], text.as_bytes()) {
            Some(_) => Ok(true),
            None if self.content.len() >= PROBE_BYTES_MAX => Err(self.missing()),
            None => Ok(false),
        }
    }

    /// Why it is not well if that was all.
    pub fn missing(&self) -> String {
        format!("its answer does not contain {:?}", self.wanted.contains.as_deref().unwrap_or_default())
    }
}
