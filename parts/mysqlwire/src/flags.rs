//! Capabilities and status: the protocol's two sets of bits.

use std::ops::{BitAnd, BitOr, Sub};

/// What an end of a connection can do ("Capabilities Flags"). A server offers, the client answers with the subset it uses.
/// The upper 32 bits are MariaDB's extended capabilities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// MySQL's CLIENT_LONG_PASSWORD. MariaDB calls the bit CLIENT_MYSQL: when it is *not* set, its extended bits are present.
    pub const LONG_PASSWORD: Capabilities = Capabilities(1);
    /// Affected rows counts rows found, not rows changed.
    pub const FOUND_ROWS: Capabilities = Capabilities(1 << 1);
    pub const LONG_FLAG: Capabilities = Capabilities(1 << 2);
    pub const CONNECT_WITH_DB: Capabilities = Capabilities(1 << 3);
    pub const NO_SCHEMA: Capabilities = Capabilities(1 << 4);
    pub const COMPRESS: Capabilities = Capabilities(1 << 5);
    pub const ODBC: Capabilities = Capabilities(1 << 6);
    pub const LOCAL_FILES: Capabilities = Capabilities(1 << 7);
    pub const IGNORE_SPACE: Capabilities = Capabilities(1 << 8);
    pub const PROTOCOL_41: Capabilities = Capabilities(1 << 9);
    pub const INTERACTIVE: Capabilities = Capabilities(1 << 10);
    pub const SSL: Capabilities = Capabilities(1 << 11);
    pub const IGNORE_SIGPIPE: Capabilities = Capabilities(1 << 12);
    pub const TRANSACTIONS: Capabilities = Capabilities(1 << 13);
    pub const RESERVED: Capabilities = Capabilities(1 << 14);
    /// The 4.1 login: twenty bytes of salt, a hash for an answer.
    pub const SECURE_CONNECTION: Capabilities = Capabilities(1 << 15);
    pub const MULTI_STATEMENTS: Capabilities = Capabilities(1 << 16);
    pub const MULTI_RESULTS: Capabilities = Capabilities(1 << 17);
    pub const PS_MULTI_RESULTS: Capabilities = Capabilities(1 << 18);
    pub const PLUGIN_AUTH: Capabilities = Capabilities(1 << 19);
    pub const CONNECT_ATTRS: Capabilities = Capabilities(1 << 20);
    pub const PLUGIN_AUTH_LENENC: Capabilities = Capabilities(1 << 21);
    pub const CAN_HANDLE_EXPIRED_PASSWORDS: Capabilities = Capabilities(1 << 22);
    pub const SESSION_TRACK: Capabilities = Capabilities(1 << 23);
    /// Results end with an OK packet in EOF's place, and nothing stands between columns and rows.
    pub const DEPRECATE_EOF: Capabilities = Capabilities(1 << 24);
    pub const OPTIONAL_RESULTSET_METADATA: Capabilities = Capabilities(1 << 25);
    pub const ZSTD_COMPRESSION: Capabilities = Capabilities(1 << 26);
    pub const QUERY_ATTRIBUTES: Capabilities = Capabilities(1 << 27);

    /// JSON, UUID and the like are named as such in definitions of columns.
    pub const MARIADB_EXTENDED_METADATA: Capabilities = Capabilities(1 << 35);

    /// Of a client that logs in to one database and reads rows, and wants nothing else.
    pub const READER: Capabilities = Capabilities(
        Capabilities::LONG_PASSWORD.0
            | Capabilities::PROTOCOL_41.0
            | Capabilities::TRANSACTIONS.0
            | Capabilities::SECURE_CONNECTION.0
            | Capabilities::PLUGIN_AUTH.0
            | Capabilities::CONNECT_WITH_DB.0
            | Capabilities::DEPRECATE_EOF.0,
    );

    pub fn contains(self, all: Capabilities) -> bool {
        self.0 & all.0 == all.0
    }
}

impl BitOr for Capabilities {
    type Output = Capabilities;
    fn bitor(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }
}

impl BitAnd for Capabilities {
    type Output = Capabilities;
    fn bitand(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & other.0)
    }
}

impl Sub for Capabilities {
    type Output = Capabilities;
    /// The bits of `self` that `other` has not.
    fn sub(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & !other.0)
    }
}

/// The session's state as OK and EOF packets report it ("SERVER_STATUS_flags_enum").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerStatus(pub u16);

impl ServerStatus {
    pub const IN_TRANSACTION: ServerStatus = ServerStatus(0x0001);
    pub const AUTOCOMMIT: ServerStatus = ServerStatus(0x0002);
    /// Another result of the same command follows.
    pub const MORE_RESULTS: ServerStatus = ServerStatus(0x0008);
    pub const NO_GOOD_INDEX: ServerStatus = ServerStatus(0x0010);
    pub const NO_INDEX: ServerStatus = ServerStatus(0x0020);
    pub const CURSOR_EXISTS: ServerStatus = ServerStatus(0x0040);
    pub const LAST_ROW_SENT: ServerStatus = ServerStatus(0x0080);
    pub const DATABASE_DROPPED: ServerStatus = ServerStatus(0x0100);
    pub const NO_BACKSLASH_ESCAPES: ServerStatus = ServerStatus(0x0200);
    pub const METADATA_CHANGED: ServerStatus = ServerStatus(0x0400);
    pub const SLOW: ServerStatus = ServerStatus(0x0800);
    /// The result is the OUT parameters of a procedure.
    pub const PS_OUT_PARAMS: ServerStatus = ServerStatus(0x1000);
    pub const IN_READ_ONLY_TRANSACTION: ServerStatus = ServerStatus(0x2000);
    /// The OK packet carries session changes.
    pub const SESSION_STATE_CHANGED: ServerStatus = ServerStatus(0x4000);

    pub fn contains(self, all: ServerStatus) -> bool {
        self.0 & all.0 == all.0
    }

    /// `self` with `bit` on or off.
    pub fn with(self, bit: ServerStatus, on: bool) -> ServerStatus {
        if on { ServerStatus(self.0 | bit.0) } else { ServerStatus(self.0 & !bit.0) }
    }
}

impl BitOr for ServerStatus {
    type Output = ServerStatus;
    fn bitor(self, other: ServerStatus) -> ServerStatus {
        ServerStatus(self.0 | other.0)
    }
}
