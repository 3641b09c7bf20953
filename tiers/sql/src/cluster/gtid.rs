//! MariaDB's global transaction ids: `domain-server-sequence`. Within a domain with one writer the sequence only grows, so a position is
//! one number per domain.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gtid {
    pub domain: u32,
    pub server: u32,
    pub sequence: u64,
}

/// The last transaction of each domain, as `@@gtid_binlog_pos` and its relatives list them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position(Vec<Gtid>);

impl Gtid {
    pub fn parse(text: &str) -> Option<Gtid> {
        let mut parts = text.trim().split('-');
        let gtid = Gtid { domain: parts.next()?.parse().ok()?, server: parts.next()?.parse().ok()?, sequence: parts.next()?.parse().ok()? };
        parts.next().is_none().then_some(gtid)
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

impl Position {
    /// `None` if the text is no position. The empty text is the position before everything.
    pub fn parse(text: &str) -> Option<Position> {
        let listed = text.split(',').map(str::trim).filter(|gtid| !gtid.is_empty());
        listed.map(Gtid::parse).collect::<Option<Vec<_>>>().map(Position)
    }

    /// The last transaction of a domain.
    pub fn last(&self, domain: u32) -> Option<Gtid> {
        self.0.iter().copied().filter(|gtid| gtid.domain == domain).max_by_key(|gtid| gtid.sequence)
    }

    /// The other domains'.
    pub fn without(&self, domain: u32) -> Position {
        Position(self.0.iter().copied().filter(|gtid| gtid.domain != domain).collect())
    }

    /// The domains in which this is further than `earlier`.
    pub fn beyond(&self, earlier: &Position) -> Position {
        Position(self.0.iter().copied().filter(|gtid| gtid.sequence > earlier.sequence(gtid.domain)).collect())
    }

    /// Has every transaction of `other`.
    pub fn covers(&self, other: &Position) -> bool {
        other.0.iter().all(|gtid| self.sequence(gtid.domain) >= gtid.sequence)
    }

    /// The domains of `other` as they stand here; one that is not here at all is left out.
    pub fn of_domains(&self, other: &Position) -> Position {
        Position(other.0.iter().filter_map(|gtid| self.last(gtid.domain)).collect())
    }

    /// Reaches as far as `gtid`. False if it did already.
    pub fn reach(&mut self, gtid: Gtid) -> bool {
        let further = gtid.sequence > self.sequence(gtid.domain);
        if further {
            self.0.retain(|known| known.domain != gtid.domain);
            self.0.push(gtid);
        }
        further
    }

    pub fn transactions(&self) -> &[Gtid] {
        &self.0
    }

    /// 0 if there is none.
    pub fn sequence(&self, domain: u32) -> u64 {
        self.last(domain).map_or(0, |gtid| gtid.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_mariadb_writes_them() {
        let position = Position::parse("0-1-100,5-2-7").unwrap();
        assert_eq!(position.last(0), Some(Gtid { domain: 0, server: 1, sequence: 100 }));
        assert_eq!((position.sequence(5), position.sequence(9)), (7, 0));
        assert_eq!(Position::parse("").unwrap().sequence(0), 0);
        assert_eq!(position.without(0), Position::parse("5-2-7").unwrap());
        assert_eq!(position.beyond(&position), Position::default());
        assert_eq!(position.beyond(&position.without(5)), Position::parse("5-2-7").unwrap());
        assert!(position.covers(&position.without(0)) && !position.without(0).covers(&position));
        assert_eq!(position.of_domains(&Position::parse("5-1-9,6-1-1").unwrap()), position.without(0));
        let mut reached = position.without(0);
        let seven = Gtid { domain: 5, server: 2, sequence: 7 };
        assert!(!reached.reach(seven) && reached.reach(Gtid { sequence: 8, ..seven }));
        assert_eq!(reached, Position::parse("5-2-8").unwrap());
        for bad in ["0-1", "0-1-2-3", "a-1-2", "0-1-2;0-1-3"] {
            assert_eq!(Position::parse(bad), None, "{bad}");
        }
        assert_eq!(Gtid::parse("0-1-100").unwrap().to_string(), "0-1-100");
    }
}
