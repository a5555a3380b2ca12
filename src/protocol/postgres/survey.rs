//! What a server of PostgreSQL says of its place in its group (PostgreSQL documentation, "System
//! Administration Functions", recovery control and WAL functions).

use std::cmp::Ordering;
use std::time::Duration;

use crate::model::{Observation, Position, Role};
use crate::protocol::table::Table;

/// The second may be refused: Aurora has no WAL of that kind, and says so by an error.
pub const QUESTIONS: &[&str] = &[
    "SELECT pg_is_in_recovery() AS replica, current_setting('max_connections') AS capacity",
    "SELECT CASE WHEN pg_is_in_recovery() \
         THEN (SELECT received_tli::text FROM pg_stat_wal_receiver) \
         ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int::text \
       END AS timeline, \
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() \
         ELSE pg_current_wal_lsn() END AS position, \
       CASE WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0 \
         ELSE round(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000) \
       END AS lag_ms, \
       EXISTS (SELECT FROM pg_stat_wal_receiver) AS streaming, \
       (SELECT system_identifier FROM pg_control_system()) AS lineage",
];

/// New transactions only read, also those of sessions that are there already. A standby may be told
/// too: it is written to a file.
///
/// What has been committed with `synchronous_commit = off` need not have been written yet, and
/// `pg_current_wal_lsn` tells of what has: a transaction of our own that is flushed takes all before
/// it along (PostgreSQL documentation, "Asynchronous Commit"). Without it a replica could be
/// promoted that lacks the last of them. It has to log something: one that has a number and nothing
/// else is not waited for (`RecordTransactionCommit` in `src/backend/access/transam/xact.c`).
pub const FENCE: &[&str] = &[
    "ALTER SYSTEM SET default_transaction_read_only = on",
    "SELECT pg_reload_conf()",
    "BEGIN; SET LOCAL synchronous_commit = local; \
     SELECT CASE WHEN pg_is_in_recovery() THEN NULL \
     ELSE pg_logical_emit_message(true, 'sluice', 'fence') END; COMMIT",
];

/// The opposite.
pub const UNFENCE: &[&str] = &[
    "ALTER SYSTEM RESET default_transaction_read_only",
    "SELECT pg_reload_conf()",
];

/// It may have been fenced itself when it was a primary before.
pub const PROMOTION: &[&str] = &[
    "ALTER SYSTEM RESET default_transaction_read_only",
    "SELECT pg_reload_conf()",
    "SELECT pg_promote(true, 60)",
];

/// Reads the answers; `None` if they are none.
pub fn observe(answers: &[Table]) -> Option<Observation> {
    let replica = answers.first()?.value(0, &["replica"])? == "t";
    let capacity = answers.first()?.value(0, &["capacity"]);
    let value = |name| answers.get(1).and_then(|table| table.value(0, &[name]));
    let position = value("position");
    Some(Observation {
        role: Some(if replica {
            Role::Replica
        } else {
            Role::Primary
        }),
        timeline: value("timeline").and_then(|text| text.parse().ok()),
        position: position.map(|text| Position(text.into())),
        progress: position.and_then(lsn),
        lag: value("lag_ms")
            .filter(|_| replica)
            .and_then(|text| text.parse().ok())
            .map(|ms: f64| Duration::from_secs_f64((ms / 1000.0).clamp(0.0, LONGEST_LAG))),
        streaming: replica.then(|| value("streaming") == Some("t")),
        follows: replica,
        shares_storage: position.is_none(),
        capacity: capacity.and_then(|text| text.parse().ok()),
        lineage: value("lineage").map(Into::into),
    })
}

/// Compares two places in the WAL of one timeline.
pub fn compare(a: &Position, b: &Position) -> Option<Ordering> {
    Some(lsn(&a.0)?.cmp(&lsn(&b.0)?))
}

/// A `pg_lsn`: two hexadecimal numbers of 32 bits with a slash between them.
fn lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let half = |digits| u32::from_str_radix(digits, 16).ok().map(u64::from);
    Some(half(high)? << 32 | half(low)?)
}

/// A year, in seconds.
const LONGEST_LAG: f64 = 31_536_000.0;

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;
    use std::time::Duration;

    use super::{compare, observe};
    use crate::model::{Position, Role};
    use crate::protocol::table::Table;

    fn table(columns: &[(&str, Option<&str>)]) -> Table {
        let mut table = Table::default();
        for (name, _) in columns {
            table.name(name.as_bytes());
        }
        table.row(columns.iter().map(|(_, value)| value.map(str::as_bytes)));
        table
    }

    #[test]
    fn a_replica_says_how_far_it_has_come() {
        let answers = [
            table(&[("replica", Some("t")), ("capacity", Some("300"))]),
            table(&[
                ("timeline", Some("2")),
                ("position", Some("1/16B3748")),
                ("lag_ms", Some("1500")),
                ("streaming", Some("t")),
                ("lineage", Some("7431")),
            ]),
        ];
        let seen = observe(&answers).unwrap();
        assert_eq!(seen.role, Some(Role::Replica));
        assert_eq!((seen.timeline, seen.capacity), (Some(2), Some(300)));
        assert_eq!(seen.progress, Some(0x1_016B_3748));
        assert_eq!(seen.lag, Some(Duration::from_millis(1500)));
        assert_eq!(seen.streaming, Some(true));
    }

    #[test]
    fn a_server_that_refuses_the_second_question_still_has_a_role() {
        let answers = [
            table(&[("replica", Some("f")), ("capacity", Some("x"))]),
            Table::default(),
        ];
        let seen = observe(&answers).unwrap();
        assert_eq!(seen.role, Some(Role::Primary));
        assert_eq!((seen.progress, seen.capacity), (None, None));
        assert_eq!(observe(&[Table::default(), Table::default()]), None);
        assert_eq!(observe(&[]), None);
    }

    #[test]
    fn places_in_the_wal_are_ordered() {
        let at = |text: &str| Position(text.into());
        let order = |a, b| compare(&at(a), &at(b));
        assert_eq!(order("0/FF", "1/0"), Some(Ordering::Less));
        assert_eq!(order("1/0", "1/0"), Some(Ordering::Equal));
        assert_eq!(order("1/0", "nonsense"), None);
    }
}
