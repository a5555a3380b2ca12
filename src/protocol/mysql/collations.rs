//! Collations by the numbers that logins use, and the character sets that they belong to.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::login::Flavor;

/// The name of a collation, by its number; `None` for one that is not known here.
pub fn name(flavor: Flavor, number: u16) -> Option<&'static str> {
    static NAMES: LazyLock<HashMap<(u16, Flavor), &'static str>> = LazyLock::new(parse);
    NAMES.get(&(number, flavor)).copied()
}

fn parse() -> HashMap<(u16, Flavor), &'static str> {
    let mut names = HashMap::new();
    for line in include_str!("collations.txt").lines() {
        let mut parts = line.split(' ');
        let (Some(Ok(number)), Some(name)) = (parts.next().map(str::parse), parts.next()) else {
            // A comment.
            continue;
        };
        let owner = parts.next();
        for (flavor, mark) in [(Flavor::MySql, "mysql"), (Flavor::MariaDb, "mariadb")] {
            if owner.is_none_or(|owner| owner == mark) {
                names.insert((number, flavor), name);
            }
        }
    }
    names
}

/// The character set of a collation: the first part of its name, in both families.
pub fn charset(collation: &str) -> &str {
    collation
        .split_once('_')
        .map_or(collation, |(charset, _)| charset)
}

/// True if a login with this number gets the collation that the server is configured to use with its
/// character set. MariaDB takes the collations that its character sets once had by default for a wish
/// for the default of today (`thd_init_client_charset` in its `sql_connect.cc`).
pub fn is_default(flavor: Flavor, number: u16) -> bool {
    match flavor {
        Flavor::MySql => false,
        Flavor::MariaDb => matches!(number, UTF8MB3_GENERAL_CI | UTF8MB4_GENERAL_CI),
    }
}

const UTF8MB3_GENERAL_CI: u16 = 33;
const UTF8MB4_GENERAL_CI: u16 = 45;

/// True if no client can speak the character set: it is no superset of ASCII.
pub fn is_wide(charset: &str) -> bool {
    matches!(charset, "ucs2" | "utf16" | "utf16le" | "utf32")
}

#[cfg(test)]
mod tests {
    use super::{charset, is_default, name};
    use crate::protocol::mysql::login::Flavor::{MariaDb, MySql};

    #[test]
    fn numbers_have_names() {
        assert_eq!(name(MySql, 8), Some("latin1_swedish_ci"));
        assert_eq!(name(MariaDb, 8), Some("latin1_swedish_ci"));
        assert_eq!(name(MySql, 255), Some("utf8mb4_0900_ai_ci"));
        assert_eq!(name(MySql, 309), Some("utf8mb4_0900_bin"));
        assert_eq!(name(MariaDb, 224), Some("utf8mb4_unicode_ci"));
        assert_eq!(name(MySql, 0), None);
        assert_eq!(name(MySql, u16::MAX), None);
    }

    #[test]
    fn a_collation_names_its_character_set() {
        assert_eq!(charset("utf8mb3_uca1400_ai_ci"), "utf8mb3");
        assert_eq!(charset("binary"), "binary");
        assert!(is_default(MariaDb, 45) && !is_default(MySql, 45) && !is_default(MariaDb, 46));
    }
}
