//! What a server's own catalogue says about functions and views, and what that makes of texts.

use std::sync::Arc;

use crate::sql::cache::{CacheLimits, VerdictCache};
use crate::sql::mysql::{Flavor, Mode, reading};
use crate::sql::reading::{Catalogue, Demand, Reading};

/// Verdicts on the texts of one user's clients.
pub struct MyReadings {
    cache: VerdictCache<Reading, Mode>,
}

impl MyReadings {
    /// By this catalogue.
    pub fn new(catalogue: Catalogue) -> Self {
        let classify = move |text: &[u8], mode| reading(text, mode, Some(&catalogue));
        let limits = CacheLimits {
            total_bytes: 4 * 1024 * 1024,
            ..CacheLimits::default()
        };
        Self {
            cache: VerdictCache::new(classify, limits),
        }
    }

    /// The verdict on a text read in this mode.
    pub fn get(&self, text: &[u8], mode: Mode) -> Arc<Reading> {
        self.cache.get_alike(text, mode).0
    }
}

/// Reads what [`CATALOGUE`] has yielded: a list of texts of one letter and a name. `None` if it is none of that.
///
/// A view runs what its definition calls, with its definer's rights: it is looked at like any text.
pub fn catalogue(answer: &[u8]) -> Option<Catalogue> {
    let lines: Vec<String> = serde_json::from_slice(answer).ok()?;
    let mut catalogue = Catalogue::new();
    let mut views = Vec::new();
    for line in &lines {
        let (kind, rest) = line.split_at_checked(1)?;
        match kind {
            "s" => catalogue.add_function(rest, true),
            "v" => catalogue.add_function(rest, false),
            "r" => catalogue.add_relation(rest),
            "w" => views.push(rest.split_once('\n')?),
            _ => return None,
        }
    }
    // Definitions are stored as a session with the usual modes would write them.
    let mode = Mode::new(Flavor::MySql, 80_000);
    loop {
        let before = views.len();
        views.retain(|(name, definition)| {
            let reads = reading(definition.as_bytes(), mode, Some(&catalogue));
            let reads = reads.demand == Demand::Read;
            if !reads {
                catalogue.add_relation(name);
            }
            reads
        });
        // A view may read from one that has just been found out.
        if views.len() == before {
            return Some(catalogue);
        }
    }
}

/// Everything of the catalogue that matters and that the user may see, as one list.
///
/// `CONTAINS SQL` is what a function is declared to do if nothing is said, so it says nothing. Sequences, and tables that
/// live in memory or elsewhere, are not the same on a replica.
pub const CATALOGUE: &str = r"SELECT COALESCE(JSON_ARRAYAGG(x.line), JSON_ARRAY()) FROM (
SELECT CONCAT(CASE WHEN SQL_DATA_ACCESS IN ('NO SQL', 'READS SQL DATA') THEN 's' ELSE 'v' END, LOWER(ROUTINE_NAME)) AS line
FROM information_schema.ROUTINES WHERE ROUTINE_TYPE = 'FUNCTION' AND ROUTINE_SCHEMA <> 'sys'
UNION ALL SELECT CONCAT('w', LOWER(TABLE_NAME), CHAR(10 USING utf8mb4), COALESCE(VIEW_DEFINITION, ''))
FROM information_schema.VIEWS WHERE TABLE_SCHEMA NOT IN ('sys', 'mysql', 'performance_schema', 'information_schema')
UNION ALL SELECT CONCAT('r', LOWER(TABLE_NAME)) FROM information_schema.TABLES
WHERE TABLE_SCHEMA NOT IN ('sys', 'mysql', 'performance_schema', 'information_schema')
AND (TABLE_TYPE = 'SEQUENCE' OR ENGINE IN ('MEMORY', 'FEDERATED', 'CONNECT', 'SPIDER', 'BLACKHOLE', 'S3'))) AS x";

#[cfg(test)]
mod tests {
    use super::catalogue;
    use crate::sql::reading::Code;

    #[test]
    fn views_are_as_good_as_what_they_read() {
        let answer = br#"["spure", "vwrites", "wplain\nselect `a`.`t`.`x` AS `x` from `a`.`t`",
            "wouter\nselect `a`.`bad`.`x` AS `x` from `a`.`bad`",
            "wbad\nselect `a`.`writes`(1) AS `x`", "wfine\nselect `a`.`pure`(1) AS `x`", "whidden\n", "rseq"]"#;
        let read = catalogue(answer).unwrap();
        assert_eq!(
            (read.function("pure"), read.function("writes")),
            (Code::Reads, Code::May)
        );
        for name in ["outer", "bad", "fine", "hidden", "seq"] {
            assert!(read.is_relation_unsafe(name), "{name}");
        }
        assert!(!read.is_relation_unsafe("plain"));
        assert!(catalogue(b"[\"s").is_none() && catalogue(b"[\"x1\"]").is_none());
        assert!(catalogue(b"[]").unwrap().is_empty());
    }
}
