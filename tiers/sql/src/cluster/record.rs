//! What a cluster remembers over restarts: who is the primary, since when, and which transactions each primary wrote.

use std::{
    collections::BTreeSet,
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::gtid::Gtid;

/// Terms kept. A server that comes back from before the oldest cannot be told to be harmless, and is kept out.
const TERMS_MAX: usize = 1000;

/// Written before a promotion takes effect: after a restart nobody is primary whom a later epoch has deposed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// One more with every promotion; 0 before the first.
    pub epoch: u64,
    /// The member's name. `None` before the first start.
    pub primary: Option<String>,
    /// Oldest first; the last one is the primary's.
    pub terms: Vec<Term>,
    /// Members taken out of reads and promotions by a person.
    #[serde(default)]
    pub drained: BTreeSet<String>,
    /// The latest promotion, for people.
    pub last_failover: Option<pumasi_status::Failover>,
}

/// A server's time as the primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    pub epoch: u64,
    pub member: String,
    pub server: u32,
    /// Transactions up to this one were there before.
    pub after: u64,
}

impl Record {
    /// As it was written to `path`; new if there is none. Errors: a file that cannot be read, or is none of ours.
    pub fn load(path: &Path) -> io::Result<Record> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Record::default()),
            Err(error) => Err(error),
        }
    }

    /// Durable on return.
    pub fn store(&self, path: &Path) -> io::Result<()> {
        let new = PathBuf::from(format!("{}.new", path.display()));
        let mut file = fs::File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(self).map_err(io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |directory| fs::File::open(directory)?.sync_all())
    }

    /// A server becomes the primary, with everything up to `after`.
    pub fn begin_term(&mut self, member: &str, server: u32, after: u64) {
        self.epoch += 1;
        self.primary = Some(member.to_owned());
        self.terms.push(Term { epoch: self.epoch, member: member.to_owned(), server, after });
        if self.terms.len() > TERMS_MAX {
            self.terms.remove(0);
        }
    }

    /// Whether a server whose last transaction is `last` has nothing that the present primary lacks, as far as the terms tell.
    pub fn subset(&self, last: Gtid) -> bool {
        let Some(first) = self.terms.first() else { return true };
        if last.sequence <= first.after {
            return true;
        }
        self.terms.iter().enumerate().any(|(i, term)| {
            let until = self.terms.get(i + 1).map_or(u64::MAX, |next| next.after);
            term.server == last.server && last.sequence > term.after && last.sequence <= until
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(server: u32, sequence: u64) -> Gtid {
        Gtid { domain: 0, server, sequence }
    }

    #[test]
    fn an_old_primary_is_a_subset_up_to_the_promotion() {
        let mut record = Record::default();
        assert!(record.subset(at(9, 9)), "nothing is known, nothing is refused");
        record.begin_term("a", 1, 0);
        record.begin_term("b", 2, 98);
        assert!(record.subset(at(1, 98)));
        assert!(!record.subset(at(1, 99)), "written by the old primary and received by nobody");
        assert!(record.subset(at(2, 99)));
        record.begin_term("c", 3, 120);
        assert!(!record.subset(at(1, 110)), "a transaction of the first primary within the second one's term");
        assert!(record.subset(at(2, 120)) && !record.subset(at(2, 121)) && record.subset(at(3, 500)));
        record.begin_term("a", 1, 600);
        assert!(record.subset(at(1, 700)) && !record.subset(at(1, 550)));
    }

    #[test]
    fn a_record_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cluster.json");
        assert_eq!(Record::load(&path).unwrap(), Record::default());
        let mut record = Record::default();
        record.begin_term("a", 1, 7);
        record.drained.insert("b".into());
        record.store(&path).unwrap();
        assert_eq!(Record::load(&path).unwrap(), record);
        // One that was written before servers were remembered as drained.
        fs::write(&path, r#"{"epoch":0,"primary":null,"terms":[],"last_failover":null}"#).unwrap();
        assert_eq!(Record::load(&path).unwrap(), Record::default());
        fs::write(&path, "no record").unwrap();
        assert!(Record::load(&path).is_err());
    }
}
