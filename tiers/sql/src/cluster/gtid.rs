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

    /// A domain in which this is further than `earlier`.
    pub fn beyond(&self, earlier: &Position) -> Option<u32> {
        self.0.iter().find(|gtid| gtid.sequence > earlier.sequence(gtid.domain)).map(|gtid| gtid.domain)
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
        assert_eq!((position.beyond(&position), position.beyond(&position.without(5))), (None, Some(5)));
        for bad in ["0-1", "0-1-2-3", "a-1-2", "0-1-2;0-1-3"] {
            assert_eq!(Position::parse(bad), None, "{bad}");
        }
        assert_eq!(Gtid::parse("0-1-100").unwrap().to_string(), "0-1-100");
    }
}
