//! What tests came to, kept on disk: a run that was stopped goes on, and what failed is repeated after a fix.
//!
//! A file of lines `through main.select pass 1a2b3c4d`; the last of a test counts. The last word is the build of Pumasi that was in between.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};

use super::Verdict;

/// Where the suite's client was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Through,
    Direct,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Through => "through",
            Way::Direct => "direct",
        })
    }
}

/// A program by its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build(String);

impl Build {
    pub fn of(program: &Path) -> Result<Build> {
        let output = Command::new("sha1sum").arg(program).output().context("asking for the build's sum (sha1sum)")?;
        ensure!(output.status.success(), "no sum of {}", program.display());
        Ok(Build(String::from_utf8_lossy(&output.stdout).chars().take(8).collect()))
    }
}

pub struct Ledger {
    file: File,
    build: Build,
    known: BTreeMap<(Way, String), (Verdict, String)>,
    ended: usize,
}

impl Ledger {
    /// `keep`: what earlier runs came to stays, but for what failed through a Pumasi of another build.
    pub fn open(path: &Path, build: Build, keep: bool) -> Result<Ledger> {
        let text = if keep { fs::read_to_string(path).unwrap_or_default() } else { String::new() };
        let mut known = read(&text);
        known.retain(|(way, _), (verdict, by)| *way == Way::Direct || *verdict != Verdict::Fail || *by == build.0);
        let mut file = OpenOptions::new().create(true).append(true).open(path).with_context(|| format!("opening {}", path.display()))?;
        if !keep {
            file.set_len(0)?;
        }
        file.flush()?;
        Ok(Ledger { file, build, known, ended: 0 })
    }

    pub fn find(&self, way: Way, test: &str) -> Option<Verdict> {
        self.known.get(&(way, test.to_owned())).map(|(verdict, _)| *verdict)
    }

    /// Returns how many tests have ended since the ledger was opened.
    pub fn write(&mut self, way: Way, verdicts: &BTreeMap<String, Verdict>) -> Result<usize> {
        let mut lines = String::new();
        for (test, verdict) in verdicts {
            lines.push_str(&format!("{way} {test} {verdict} {}\n", self.build.0));
            self.known.insert((way, test.clone()), (*verdict, self.build.0.clone()));
        }
        self.file.write_all(lines.as_bytes())?;
        self.ended += verdicts.len();
        Ok(self.ended)
    }

    /// Who answered for how many of `tests`.
    pub fn builds(&self, tests: &[String]) -> BTreeMap<String, usize> {
        let mut builds = BTreeMap::new();
        for (_, build) in tests.iter().filter_map(|test| self.known.get(&(Way::Through, test.clone()))) {
            *builds.entry(build.clone()).or_default() += 1;
        }
        builds
    }
}

fn read(text: &str) -> BTreeMap<(Way, String), (Verdict, String)> {
    let mut known = BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let &[way, test, verdict, build] = words.as_slice() else { continue };
        let way = if way == "direct" { Way::Direct } else { Way::Through };
        if let Some(verdict) = Verdict::named(verdict) {
            known.insert((way, test.to_owned()), (verdict, build.to_owned()));
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_run_again_by_another_build_and_what_passed_is_not() {
        let folder = std::env::temp_dir().join(format!("pumasi-ledger-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("ledger");
        let open = |build: &str, keep| Ledger::open(&path, Build(build.to_owned()), keep).unwrap();
        let of = |pairs: &[(&str, Verdict)]| pairs.iter().map(|(name, verdict)| ((*name).to_owned(), *verdict)).collect();
        open("one", false).write(Way::Through, &of(&[("main.a", Verdict::Pass), ("main.b", Verdict::Fail)])).unwrap();
        open("one", true).write(Way::Direct, &of(&[("main.b", Verdict::Pass)])).unwrap();
        let same = open("one", true);
        assert_eq!((same.find(Way::Through, "main.b"), same.find(Way::Direct, "main.b")), (Some(Verdict::Fail), Some(Verdict::Pass)));
        let mut other = open("two", true);
        assert_eq!((other.find(Way::Through, "main.a"), other.find(Way::Through, "main.b")), (Some(Verdict::Pass), None));
        other.write(Way::Through, &of(&[("main.b", Verdict::Pass)])).unwrap();
        assert_eq!(open("two", true).builds(&["main.a".into(), "main.b".into()]), BTreeMap::from([("one".into(), 1), ("two".into(), 1)]));
        assert_eq!(open("two", false).find(Way::Through, "main.a"), None);
        fs::remove_dir_all(&folder).unwrap();
    }
}
