//! Runs that were kept: one JSON file each, under `load/` of the state directory.

use crate::report::{FORMAT, Report};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// Runs that are kept. The oldest without tag and comment goes when one more comes: what somebody labelled is theirs to remove.
pub const RUNS_MAX: usize = 500;

#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    #[error("{path}: {source}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is not a load report of this version: {reason}", path = path.display())]
    Format { path: PathBuf, reason: String },
    #[error("there is no run \"{asked}\"{hint}")]
    Unknown { asked: String, hint: String },
    #[error("\"{asked}\" could be {}", candidates.join(", "))]
    Ambiguous { asked: String, candidates: Vec<String> },
}

/// The kept runs of one state directory.
#[derive(Debug)]
pub struct Kept {
    directory: PathBuf,
}

impl Kept {
    /// Nothing is created before something is kept.
    pub fn new(state: &Path) -> Kept {
        Kept { directory: state.join("load") }
    }

    /// An identity for a run that starts now: sorts by time, unique among the kept ones.
    pub fn new_id(&self, name: &str) -> String {
        let stamp = stamp(SystemTime::now());
        let slug: String = name.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(40).collect();
        let base = if slug.is_empty() { stamp } else { format!("{stamp}-{slug}") };
        (1..)
            .map(|n| if n == 1 { base.clone() } else { format!("{base}.{n}") })
            .find(|id| !self.path(id).exists())
            .expect("some number is free")
    }

    /// Writes the report so that a crash leaves either all of it or nothing. Returns its path.
    pub fn keep(&self, report: &Report) -> Result<PathBuf, KeptError> {
        let path = self.path(&report.id);
        let at = |source| KeptError::Io { path: path.clone(), source };
        fs::create_dir_all(&self.directory).map_err(at)?;
        let temporary = path.with_extension("part");
        let mut file = fs::File::create(&temporary).map_err(at)?;
        serde_json::to_writer(&mut file, report).map_err(|error| at(error.into()))?;
        file.write_all(b"\n").and_then(|()| file.sync_all()).map_err(at)?;
        fs::rename(&temporary, &path).map_err(at)?;
        self.make_room();
        Ok(path)
    }

    /// The newest first. Files that cannot be read come with the reason.
    pub fn list(&self) -> Result<Vec<Result<Report, KeptError>>, KeptError> {
        Ok(self.ids()?.iter().rev().map(|id| self.read(id)).collect())
    }

    /// By identity, by the beginning of one, by name (the newest), or `last`.
    pub fn find(&self, asked: &str) -> Result<Report, KeptError> {
        let ids = self.ids()?;
        if asked == "last" {
            return match ids.last() {
                Some(id) => self.read(id),
                None => Err(KeptError::Unknown { asked: asked.to_string(), hint: ": nothing was kept yet".to_string() }),
            };
        }
        if ids.iter().any(|id| id == asked) {
            return self.read(asked);
        }
        let candidates: Vec<String> = ids.iter().filter(|id| id.starts_with(asked)).cloned().collect();
        match candidates.as_slice() {
            [one] => return self.read(one),
            [] => {}
            _ => return Err(KeptError::Ambiguous { asked: asked.to_string(), candidates }),
        }
        let named = ids.iter().rev().filter_map(|id| self.read(id).ok()).find(|report| report.name == asked);
        named.ok_or_else(|| KeptError::Unknown {
            asked: asked.to_string(),
            hint: pumasi_config::nearest(asked, ids.iter().map(String::as_str))
                .map_or(String::new(), |near| format!("; did you mean {near}?")),
        })
    }

    pub fn remove(&self, id: &str) -> Result<(), KeptError> {
        let path = self.path(id);
        fs::remove_file(&path).map_err(|source| KeptError::Io { path, source })
    }

    /// Where the page of the last ladder is.
    pub fn ladder(&self) -> PathBuf {
        self.directory.join("ladder.html")
    }

    /// Replaces the page of the last ladder, so that a crash leaves the old one or the new one.
    pub fn keep_ladder(&self, page: &str) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let temporary = self.ladder().with_extension("part");
        fs::write(&temporary, page)?;
        fs::rename(temporary, self.ladder())
    }

    fn path(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{id}.json"))
    }

    fn ids(&self) -> Result<Vec<String>, KeptError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(KeptError::Io { path: self.directory.clone(), source }),
        };
        let mut ids: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".json").map(str::to_string))
            .collect();
        ids.sort();
        Ok(ids)
    }

    fn read(&self, id: &str) -> Result<Report, KeptError> {
        let path = self.path(id);
        let bytes = fs::read(&path).map_err(|source| KeptError::Io { path: path.clone(), source })?;
        let report: Report =
            serde_json::from_slice(&bytes).map_err(|error| KeptError::Format { path: path.clone(), reason: error.to_string() })?;
        match report.format {
            FORMAT => Ok(report),
            other => Err(KeptError::Format { path, reason: format!("its format is {other}, ours {FORMAT}") }),
        }
    }

    fn make_room(&self) {
        let Ok(ids) = self.ids() else { return };
        let mut surplus = ids.len().saturating_sub(RUNS_MAX);
        for id in ids {
            if surplus == 0 {
                return;
            }
            if self.read(&id).is_ok_and(|report| report.tags.is_empty() && report.comment.is_empty()) && self.remove(&id).is_ok() {
                surplus -= 1;
            }
        }
    }
}

/// `20261120-120019`, UTC.
pub fn stamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    format!("{year:04}{month:02}{day:02}-{:02}{:02}{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// `2026-11-20 12:00:19 UTC`.
pub fn date_and_time(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// Year, month and day of a day counted from 1970-01-01, by whole 400-year cycles that start in March so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (cycle, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (cycle * 400 + year + u64::from(month <= 2), month, of_year - (153 * march_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests;
