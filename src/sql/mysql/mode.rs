//! What decides how a MySQL or MariaDB server reads a text.

/// Which of the two families a server belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Flavor {
    /// MySQL and its builds.
    MySql,
    /// MariaDB.
    MariaDb,
}

/// How the bytes of a text are cut into characters, by `character_set_client`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ClientCharset {
    /// `utf8mb4`, `utf8mb3` or `ascii`: bytes beyond ASCII are letters.
    Utf8,
    /// A set in which every ASCII byte is an ASCII character, such as `latin1` or `ujis`. Beyond ASCII
    /// some bytes are blanks or signs.
    Plain,
    /// A set in which the second byte of a character may look like a quote or a backslash: `big5`,
    /// `gbk`, `sjis`, `cp932`, `gb18030`; or one not known here.
    Treacherous,
}

impl ClientCharset {
    /// The class of a character set, given by its name in lower case.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"utf8mb4" | b"utf8mb3" | b"utf8" | b"ascii" => Self::Utf8,
            b"latin1" | b"latin2" | b"latin5" | b"latin7" | b"binary" | b"cp1250" | b"cp1251"
            | b"cp1256" | b"cp1257" | b"cp850" | b"cp852" | b"cp866" | b"dec8" | b"greek"
            | b"hebrew" | b"hp8" | b"keybcs2" | b"koi8r" | b"koi8u" | b"macce" | b"macroman"
            | b"tis620" | b"armscii8" | b"geostd8" | b"ujis" | b"eucjpms" | b"euckr"
            | b"gb2312" => Self::Plain,
            _ => Self::Treacherous,
        }
    }
}

/// Everything outside the text that decides where its tokens end.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Mode {
    /// The server's family.
    pub flavor: Flavor,
    /// The server's version as one number: `90700` for 9.7.0, `110803` for 11.8.3.
    pub version: u32,
    /// `ANSI_QUOTES` in `sql_mode`: double quotes are for identifiers.
    pub ansi_quotes: bool,
    /// `NO_BACKSLASH_ESCAPES` in `sql_mode`.
    pub no_backslash_escapes: bool,
    /// `ORACLE` in `sql_mode` (MariaDB), which is another grammar: nothing is read with certainty.
    pub oracle: bool,
    /// The client's character set.
    pub charset: ClientCharset,
}

impl Mode {
    /// The mode of a fresh session with default settings and a client that speaks UTF-8.
    #[must_use]
    pub const fn new(flavor: Flavor, version: u32) -> Self {
        Self {
            flavor,
            version,
            ansi_quotes: false,
            no_backslash_escapes: false,
            oracle: false,
            charset: ClientCharset::Utf8,
        }
    }

    /// This mode under the `sql_mode` given as the server reports it: words with commas between them.
    #[must_use]
    pub fn with_sql_mode(self, sql_mode: &[u8]) -> Self {
        let has = |wanted: &[u8]| {
            sql_mode
                .split(|byte| *byte == b',')
                .any(|word| word.trim_ascii().eq_ignore_ascii_case(wanted))
        };
        Self {
            // Combinations are reported beside their parts; some servers give the combination alone.
            ansi_quotes: [
                &b"ANSI_QUOTES"[..],
                b"ANSI",
                b"DB2",
                b"MAXDB",
                b"MSSQL",
                b"ORACLE",
                b"POSTGRESQL",
            ]
            .into_iter()
            .any(has),
            no_backslash_escapes: has(b"NO_BACKSLASH_ESCAPES"),
            oracle: has(b"ORACLE"),
            ..self
        }
    }

    /// This mode with a client that speaks the character set of this name.
    #[must_use]
    pub fn with_charset(self, name: &[u8]) -> Self {
        let charset = ClientCharset::of(&name.to_ascii_lowercase());
        Self { charset, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::{ClientCharset, Flavor, Mode};

    #[test]
    fn modes_follow_what_the_server_reports() {
        let mode = Mode::new(Flavor::MySql, 90_700);
        assert_eq!(
            mode.with_sql_mode(b"STRICT_TRANS_TABLES,NO_ZERO_DATE"),
            mode
        );
        let ansi = mode.with_sql_mode(b"REAL_AS_FLOAT,ansi_quotes,ANSI");
        assert!(ansi.ansi_quotes && !ansi.no_backslash_escapes && !ansi.oracle);
        assert!(
            mode.with_sql_mode(b"NO_BACKSLASH_ESCAPES")
                .no_backslash_escapes
        );
        assert!(mode.with_sql_mode(b"PIPES_AS_CONCAT,ORACLE").oracle);
        assert_eq!(
            mode.with_charset(b"GBK").charset,
            ClientCharset::Treacherous
        );
        assert_eq!(mode.with_charset(b"latin1").charset, ClientCharset::Plain);
        assert_eq!(mode.with_charset(b"utf8mb4"), mode);
    }
}
