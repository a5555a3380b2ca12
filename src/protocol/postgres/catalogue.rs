//! What a database's own catalogue says about functions, views and the like, and what that makes of texts.

use std::sync::Arc;

use crate::sql::cache::{CacheLimits, VerdictCache};
use crate::sql::postgres::{is_builtin, reading, reading_of_prepare};
use crate::sql::reading::{Catalogue, Reading};

/// Verdicts on the texts of one database's clients.
pub struct PgReadings {
    cache: VerdictCache<Reading, Form>,
}

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// What is run.
    Text,
    /// The `PREPARE` of what is run.
    Prepared,
}

impl PgReadings {
    /// By this catalogue.
    pub fn new(catalogue: Catalogue) -> Self {
        let classify = move |text: &[u8], form| match form {
            Form::Text => reading(text, Some(&catalogue)),
            Form::Prepared => reading_of_prepare(text, Some(&catalogue)),
        };
        let limits = CacheLimits {
            total_bytes: 4 * 1024 * 1024,
            ..CacheLimits::default()
        };
        Self {
            cache: VerdictCache::new(classify, limits),
        }
    }

    /// The verdict on a text; and whether it is plainly a query that writes, locks and leaves nothing
    /// ([`Plain::Read`](crate::sql::skeleton::Plain::Read)).
    pub fn get(&self, text: &[u8], form: Form) -> (Arc<Reading>, bool) {
        self.cache.get_alike(text, form)
    }
}

/// Reads what [`CATALOGUE`] has yielded: lines of one letter and a name. `None` if it is none of that.
pub fn catalogue(answer: &[u8]) -> Option<Catalogue> {
    let answer = std::str::from_utf8(answer).ok()?;
    let mut catalogue = Catalogue::new();
    for line in answer.split('\n').filter(|line| !line.is_empty()) {
        let (kind, name) = line.split_at_checked(1)?;
        match kind {
            // These need not be kept: they are known without it.
            "s" if is_builtin(name) => {}
            "s" => catalogue.add_function(name, true),
            "v" => catalogue.add_function(name, false),
            "r" => catalogue.add_relation(name),
            "o" => catalogue.add_operator(name),
            "f" => catalogue.add_field(name),
            "c" => catalogue.add_casts(),
            _ => return None,
        }
    }
    Some(catalogue)
}

/// Everything of the catalogue that matters, as one text.
///
/// A function is volatile if it says so, or if it is an aggregate or a window that calls such; those of the server that
/// are known to do nothing are left out. What a view or a policy calls stands in its stored tree; dependencies
/// would not show the server's own functions. Sequences, unlogged and foreign tables are not the same on a replica.
pub const CATALOGUE: &str = r"
WITH RECURSIVE volatile AS (
  SELECT p.oid, p.proname, p.pronargs, p.pronargdefaults, p.proargtypes[0] AS first, p.prolang
  FROM pg_catalog.pg_proc p LEFT JOIN pg_catalog.pg_aggregate a ON a.aggfnoid = p.oid
  WHERE NOT (p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace AND p.proname IN ('random', 'random_normal',
      'clock_timestamp', 'timeofday', 'gen_random_uuid', 'uuidv4', 'uuidv7', 'pg_sleep', 'pg_sleep_for',
      'pg_sleep_until', 'array_sample', 'array_shuffle'))
    AND (p.provolatile = 'v' OR p.prokind = 'p' OR EXISTS (SELECT FROM pg_catalog.pg_proc f WHERE f.provolatile = 'v'
      AND f.oid IN (a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggmtransfn, a.aggminvtransfn, a.aggmfinalfn)))
), trees AS (
  SELECT r.ev_class AS relation, r.ev_action::pg_catalog.text AS tree FROM pg_catalog.pg_rewrite r
  JOIN pg_catalog.pg_class c ON c.oid = r.ev_class WHERE r.ev_type = '1' AND c.relkind = 'v' AND c.oid >= 16384
  UNION ALL
  SELECT p.polrelid, p.polqual::pg_catalog.text FROM pg_catalog.pg_policy p
  WHERE p.polcmd IN ('r', '*') AND p.polqual IS NOT NULL
), calls AS (
  SELECT t.relation, m.found[1]::pg_catalog.int8::pg_catalog.oid AS function FROM trees t,
    LATERAL pg_catalog.regexp_matches(t.tree, ':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)', 'g') m(found)
), uses AS (
  SELECT t.relation, m.found[1]::pg_catalog.int8::pg_catalog.oid AS used FROM trees t,
    LATERAL pg_catalog.regexp_matches(t.tree, ':relid (\d+)', 'g') m(found)
  UNION SELECT i.inhparent, i.inhrelid FROM pg_catalog.pg_inherits i
), strange(relation) AS (
  SELECT c.relation FROM calls c JOIN volatile v ON v.oid = c.function
  UNION SELECT c.relation FROM calls c JOIN pg_catalog.pg_proc p ON p.oid = c.function
    WHERE p.proname ~ '^(txid_current|pg_current_|pg_stat_|pg_backend_pid|pg_is_in_recovery|inet_server_|pg_last_)'
  UNION SELECT c.oid FROM pg_catalog.pg_class c WHERE c.oid >= 16384
    AND (c.relkind IN ('S', 'f') OR (c.relpersistence = 'u' AND c.relkind IN ('r', 'p', 'm')))
  UNION SELECT u.relation FROM uses u JOIN strange s ON s.relation = u.used
), lines AS (
  SELECT CASE WHEN pg_catalog.bool_or(v.oid IS NOT NULL) THEN 'v' ELSE 's' END || p.proname AS line
  FROM pg_catalog.pg_proc p LEFT JOIN volatile v ON v.oid = p.oid GROUP BY p.proname
  UNION ALL SELECT DISTINCT 'r' || c.relname FROM strange s JOIN pg_catalog.pg_class c ON c.oid = s.relation
  UNION ALL SELECT DISTINCT 'o' || o.oprname FROM pg_catalog.pg_operator o JOIN volatile v ON v.oid = o.oprcode
  UNION ALL SELECT DISTINCT 'f' || v.proname FROM volatile v JOIN pg_catalog.pg_type t ON t.oid = v.first
    WHERE v.pronargs - v.pronargdefaults <= 1 AND (t.typtype = 'c' OR t.typname IN ('record', 'any', 'anyelement', 'anycompatible'))
  UNION ALL SELECT 'c' WHERE EXISTS (SELECT FROM pg_catalog.pg_cast c JOIN volatile v ON v.oid = c.castfunc
      JOIN pg_catalog.pg_language l ON l.oid = v.prolang WHERE l.lanname NOT IN ('c', 'internal'))
    OR EXISTS (SELECT FROM pg_catalog.pg_constraint d,
      LATERAL pg_catalog.regexp_matches(d.conbin::pg_catalog.text, ':(?:funcid|opfuncid) (\d+)', 'g') m(found),
      volatile v WHERE d.contypid <> 0 AND v.oid = m.found[1]::pg_catalog.int8::pg_catalog.oid)
)
SELECT pg_catalog.string_agg(line, E'\n') FROM lines WHERE line !~ E'\n'";

#[cfg(test)]
mod tests {
    use super::catalogue;
    use crate::sql::reading::Code;

    #[test]
    fn lines_are_read() {
        let read = catalogue(b"slower\nsmine\nvnext_id\nrlive\no===\nfbump\n").unwrap();
        assert_eq!(read.function("mine"), Code::Reads);
        assert_eq!(read.function("lower"), Code::Unknown);
        assert_eq!(read.function("next_id"), Code::May);
        assert!(read.is_relation_unsafe("live") && read.is_operator_unsafe("==="));
        assert!(read.is_field_unsafe("bump") && !read.has_unsafe_casts());
        assert!(catalogue(b"c").unwrap().has_unsafe_casts());
        assert!(catalogue(b"x?").is_none() && catalogue(b"s\xff").is_none());
    }
}
