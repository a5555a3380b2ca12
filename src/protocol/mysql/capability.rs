//! Capability flags (MySQL protocol, "Capabilities Flags"; MariaDB protocol, "Connection").

use std::ops::{BitAnd, BitOr, BitOrAssign};

/// A set of capabilities. The upper half holds MariaDB's extended ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// MySQL's own: where a MariaDB server or client leaves it out, the extended half counts.
    pub const LONG_PASSWORD: Self = Self(1);
    /// Affected rows are the rows found, not the rows changed.
    pub const FOUND_ROWS: Self = Self(1 << 1);
    /// All column flags.
    pub const LONG_FLAG: Self = Self(1 << 2);
    /// A schema may be named at login.
    pub const CONNECT_WITH_DB: Self = Self(1 << 3);
    /// `schema.table.column` is refused.
    pub const NO_SCHEMA: Self = Self(1 << 4);
    /// The zlib-compressed protocol.
    pub const COMPRESS: Self = Self(1 << 5);
    /// An ODBC client; changes nothing on servers of today.
    pub const ODBC: Self = Self(1 << 6);
    /// `LOAD DATA LOCAL`.
    pub const LOCAL_FILES: Self = Self(1 << 7);
    /// Spaces before `(` are ignored.
    pub const IGNORE_SPACE: Self = Self(1 << 8);
    /// The 4.1 protocol; required.
    pub const PROTOCOL_41: Self = Self(1 << 9);
    /// `interactive_timeout` instead of `wait_timeout`.
    pub const INTERACTIVE: Self = Self(1 << 10);
    /// TLS after the first packet.
    pub const SSL: Self = Self(1 << 11);
    /// The client ignores SIGPIPE; changes nothing.
    pub const IGNORE_SIGPIPE: Self = Self(1 << 12);
    /// Status flags in OK and EOF.
    pub const TRANSACTIONS: Self = Self(1 << 13);
    /// Obsolete name of a server that speaks 4.1.
    pub const RESERVED: Self = Self(1 << 14);
    /// The 4.1 authentication.
    pub const SECURE_CONNECTION: Self = Self(1 << 15);
    /// Several statements in one text.
    pub const MULTI_STATEMENTS: Self = Self(1 << 16);
    /// Several results of one text.
    pub const MULTI_RESULTS: Self = Self(1 << 17);
    /// Several results of one prepared statement.
    pub const PS_MULTI_RESULTS: Self = Self(1 << 18);
    /// Authentication plugins by name.
    pub const PLUGIN_AUTH: Self = Self(1 << 19);
    /// Attributes of the connection.
    pub const CONNECT_ATTRS: Self = Self(1 << 20);
    /// The answer to the challenge may be longer than 255 bytes.
    pub const PLUGIN_AUTH_LENENC_DATA: Self = Self(1 << 21);
    /// Expired passwords are handled by the client.
    pub const CAN_HANDLE_EXPIRED_PASSWORDS: Self = Self(1 << 22);
    /// State changes in OK packets.
    pub const SESSION_TRACK: Self = Self(1 << 23);
    /// No EOF packets; OK ends a result.
    pub const DEPRECATE_EOF: Self = Self(1 << 24);
    /// Column definitions may be left out.
    pub const OPTIONAL_RESULTSET_METADATA: Self = Self(1 << 25);
    /// The zstd-compressed protocol.
    pub const ZSTD_COMPRESSION: Self = Self(1 << 26);
    /// Attributes of queries.
    pub const QUERY_ATTRIBUTES: Self = Self(1 << 27);
    /// A second and third factor.
    pub const MULTI_FACTOR_AUTHENTICATION: Self = Self(1 << 28);
    /// The server verifies the client's certificate; set by client libraries, not sent.
    pub const SSL_VERIFY_SERVER_CERT: Self = Self(1 << 30);
    /// Options are kept between connects; set by client libraries.
    pub const REMEMBER_OPTIONS: Self = Self(1 << 31);
    /// MariaDB: progress reports.
    pub const MARIADB_PROGRESS: Self = Self(1 << 32);
    /// MariaDB: several commands in one packet; never offered by servers of today.
    pub const MARIADB_COM_MULTI: Self = Self(1 << 33);
    /// MariaDB: bulk execution of prepared statements.
    pub const MARIADB_STMT_BULK: Self = Self(1 << 34);
    /// MariaDB: extended type information in column definitions.
    pub const MARIADB_EXTENDED_METADATA: Self = Self(1 << 35);
    /// MariaDB: column definitions are left out when a statement is executed again.
    pub const MARIADB_CACHE_METADATA: Self = Self(1 << 36);
    /// MariaDB: every result of a bulk execution.
    pub const MARIADB_BULK_UNIT_RESULTS: Self = Self(1 << 37);

    /// What must be agreed on with a server exactly as with the clients it is to serve: each
    /// changes what the server does or how it writes results, and nothing can change it later.
    ///
    /// DEPRECATE_EOF is not among them: it is used with every server that has it, since only OK
    /// tells what a statement with rows has changed, and translated for clients without.
    pub const BOUND: [Self; 11] = [
        Self::FOUND_ROWS,
        Self::NO_SCHEMA,
        Self::LOCAL_FILES,
        Self::IGNORE_SPACE,
        Self::INTERACTIVE,
        Self::MULTI_STATEMENTS,
        Self::MULTI_RESULTS,
        Self::PS_MULTI_RESULTS,
        Self::CAN_HANDLE_EXPIRED_PASSWORDS,
        Self::QUERY_ATTRIBUTES,
        Self::MARIADB_EXTENDED_METADATA,
    ];

    /// What Sluice answers for itself, whatever the server behind it can do.
    pub const OWN: Self = Self::CONNECT_WITH_DB
        .with(Self::ODBC)
        .with(Self::LONG_FLAG)
        .with(Self::PROTOCOL_41)
        .with(Self::IGNORE_SIGPIPE)
        .with(Self::TRANSACTIONS)
        .with(Self::RESERVED)
        .with(Self::SECURE_CONNECTION)
        .with(Self::PLUGIN_AUTH)
        .with(Self::CONNECT_ATTRS)
        .with(Self::PLUGIN_AUTH_LENENC_DATA)
        .with(Self::DEPRECATE_EOF)
        .with(Self::COMPRESS)
        .with(Self::ZSTD_COMPRESSION);

    /// What needs a server that can do it too.
    pub const SHARED: Self = Self::FOUND_ROWS
        .with(Self::NO_SCHEMA)
        .with(Self::LOCAL_FILES)
        .with(Self::IGNORE_SPACE)
        .with(Self::INTERACTIVE)
        .with(Self::MULTI_STATEMENTS)
        .with(Self::MULTI_RESULTS)
        .with(Self::PS_MULTI_RESULTS)
        .with(Self::CAN_HANDLE_EXPIRED_PASSWORDS)
        .with(Self::SESSION_TRACK)
        .with(Self::QUERY_ATTRIBUTES)
        .with(Self::MARIADB_STMT_BULK)
        .with(Self::MARIADB_EXTENDED_METADATA);

    /// What every server of today can do: to be assumed of one that has not been heard yet.
    pub const USUAL: Self = Self::SHARED
        .without(Self::QUERY_ATTRIBUTES)
        .without(Self::MARIADB_STMT_BULK)
        .without(Self::MARIADB_EXTENDED_METADATA);

    /// Which of the bound capabilities are in the set, as a number; see
    /// [`Affinity::variant`](crate::protocol::Affinity::variant).
    pub fn variant(self) -> u32 {
        let bits = Self::BOUND.into_iter().zip(0..);
        bits.filter(|(bound, _)| self.has(*bound))
            .fold(0, |variant, (_, bit)| variant | 1 << bit)
    }

    /// The bound capabilities of a variant.
    pub fn of_variant(variant: u32) -> Self {
        let bits = Self::BOUND.into_iter().zip(0..);
        bits.filter(|(_, bit)| variant & (1 << bit) != 0)
            .fold(Self::default(), |set, (bound, _)| set | bound)
    }

    /// The lower half.
    pub fn low(self) -> u32 {
        let [a, b, c, d, ..] = self.0.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// MariaDB's half.
    pub fn high(self) -> u32 {
        let [_, _, _, _, a, b, c, d] = self.0.to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// True if everything in `other` is in this set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// What is in this set and not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is in either set; for constants.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Capabilities {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOrAssign for Capabilities {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

#[cfg(test)]
mod tests {
    use super::Capabilities;

    #[test]
    fn a_variant_is_the_bound_capabilities() {
        let all = Capabilities(u64::MAX);
        assert_eq!(all.variant(), (1 << Capabilities::BOUND.len()) - 1);
        for bound in Capabilities::BOUND {
            assert_eq!(Capabilities::of_variant(bound.variant()), bound);
        }
        assert_eq!(Capabilities::SSL.variant(), 0);
    }

    #[test]
    fn halves_are_apart() {
        let set = Capabilities::PROTOCOL_41 | Capabilities::MARIADB_STMT_BULK;
        assert_eq!((set.low(), set.high()), (1 << 9, 1 << 2));
        assert!(set.has(Capabilities::PROTOCOL_41));
        assert!(
            !set.without(Capabilities::PROTOCOL_41)
                .has(Capabilities::PROTOCOL_41)
        );
        assert!(!set.has(Capabilities::PROTOCOL_41 | Capabilities::SSL));
    }
}
