//! The question, as one simple query of two or three statements.
//!
//! Functions and operators are named by their schema, so that a client's `search_path` does not
//! change what is asked. No backslash stands in it, so `standard_conforming_strings` does not matter.

use crate::protocol::postgres::replay::write_literal;
use crate::protocol::postgres::settings::Settings;

/// Most names of settings that are asked for because functions mention them.
const MOST_CUSTOMS: usize = 64;

/// Writes the question. `settings`: those that are believed to be in force, where settings are
/// asked for at all. `customs`: names of settings that functions mention, if they are known.
pub(super) fn write(settings: Option<&Settings>, customs: Option<&Vec<Box<str>>>) -> Vec<u8> {
    let mut out = HOLDINGS.as_bytes().to_vec();
    let Some(settings) = settings else {
        return out;
    };
    out.extend_from_slice(SETTINGS.as_bytes());
    let (own, builtin): (Vec<&str>, Vec<&str>) =
        settings.names().partition(|name| name.contains('.'));
    array(builtin, &mut out);
    out.push(b')');
    let known = customs.map(Vec::as_slice).unwrap_or_default();
    let mut asked: Vec<&str> = own;
    asked.extend(known.iter().map(|name| &**name));
    asked.sort_unstable();
    asked.dedup();
    if !asked.is_empty() {
        out.extend_from_slice(CUSTOM.as_bytes());
        out.extend_from_slice(b"pg_catalog.unnest(");
        array(asked, &mut out);
        out.extend_from_slice(b") AS n");
    }
    if customs.is_none() {
        out.extend_from_slice(DISCOVERED.as_bytes());
    }
    out
}

fn array(names: Vec<&str>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"ARRAY[");
    for (place, name) in names.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_literal(name.as_bytes(), out);
    }
    out.extend_from_slice(b"]::pg_catalog.text[]");
}

/// What a discovery may yield.
pub(super) const fn most_customs() -> usize {
    MOST_CUSTOMS
}

/// Everything in a schema depends on it, whatever kind of object it is. 2615 is the class of
/// schemas (`pg_namespace.h`). Outside a transaction every advisory lock is the session's. Channels
/// come in rows of their own.
const HOLDINGS: &str = "SELECT \
    EXISTS (SELECT FROM pg_catalog.pg_depend WHERE refclassid OPERATOR(pg_catalog.=) 2615 \
    AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()), \
    EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable), \
    EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' \
    AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()), \
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_statements WHERE from_sql), \
    (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_statements WHERE NOT from_sql), \
    pg_catalog.current_setting('role');\
    SELECT * FROM pg_catalog.pg_listening_channels() LIMIT 1001";

/// Name, value in the setting's own unit, value as `SHOW` has it, and how it was found: `t` set in
/// the session, `f` not, `n` asked for by name, `d` found in a function.
const SETTINGS: &str = ";SELECT name, setting, CASE WHEN source OPERATOR(pg_catalog.=) 'session' \
    THEN pg_catalog.current_setting(name) END, \
    CASE WHEN source OPERATOR(pg_catalog.=) 'session' THEN 't' ELSE 'f' END \
    FROM pg_catalog.pg_settings WHERE source OPERATOR(pg_catalog.=) 'session' \
    OR pg_catalog.lower(name) OPERATOR(pg_catalog.=) ANY (";

const CUSTOM: &str = " UNION ALL SELECT n, pg_catalog.current_setting(n, true), NULL, 'n' FROM ";

/// Settings with a dot in their name exist when they are first set, and no view lists them. Functions
/// that set or read one by a constant name show it in their source. 16384 is the first number of
/// what is not the server's own (`FirstNormalObjectId`, `transam.h`).
const DISCOVERED: &str = " UNION ALL (SELECT DISTINCT ON (n) n, \
    pg_catalog.current_setting(n, true), NULL, 'd' FROM pg_catalog.pg_proc AS p \
    CROSS JOIN LATERAL pg_catalog.regexp_matches(p.prosrc, \
    '(?:set_config|current_setting)[[:space:]]*[(][[:space:]]*''([a-z_][a-z0-9_]*[.][a-z0-9_.]+)''\
    |set[[:space:]]+(?:session[[:space:]]+)?([a-z_][a-z0-9_]*[.][a-z0-9_.]+)', 'gi') AS m \
    CROSS JOIN LATERAL pg_catalog.lower(COALESCE(m[1], m[2])) AS n \
    WHERE p.oid OPERATOR(pg_catalog.>=) 16384 LIMIT 64)";
