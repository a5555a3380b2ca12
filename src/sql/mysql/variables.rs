//! The session variables of MySQL and MariaDB that cannot simply be set again on another connection.
//!
//! Everything not listed can. What servers call read-only, or global only, is refused by them and needs no entry.

/// What becomes of a session variable when the session moves to another connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// It is set there to the same value.
    Replay,
    /// It is bound to its connection, for this reason.
    Pin(&'static str),
    /// Sluice has set it for itself; no client's value reaches the server.
    Own,
}

/// What becomes of the variable of this name, in lower case.
#[must_use]
pub fn policy(name: &str) -> Policy {
    if name.starts_with("session_track_") {
        return Policy::Own;
    }
    let found = PINNED.iter().find(|(pinned, _)| *pinned == name);
    found.map_or(Policy::Replay, |(_, reason)| Policy::Pin(reason))
}

const BINLOG: &str = "decides what of the session's changes is logged, and how";
const ONCE: &str = "is used up by a statement";
const CLOCK: &str = "stops the session's clock";
const THREAD: &str = "poses as another session's thread";
const ORIGIN: &str = "describes where replicated changes come from";
const MEMORY: &str = "is about what the connection remembers";
const SCHEMA: &str = "follows the schema";
const WIRE: &str = "changes the form of replies";

/// Variables bound to their connection
/// (<https://dev.mysql.com/doc/refman/9.7/en/server-system-variables.html>,
/// <https://dev.mysql.com/doc/refman/9.7/en/replication-options.html>,
/// <https://mariadb.com/kb/en/server-system-variables/>).
const PINNED: &[(&str, &str)] = &[
    ("binlog_direct_non_transactional_updates", BINLOG),
    ("binlog_format", BINLOG),
    ("sql_log_bin", BINLOG),
    ("sql_log_off", BINLOG),
    ("skip_replication", BINLOG),
    ("skip_parallel_replication", BINLOG),
    ("wsrep_on", BINLOG),
    ("gtid_next", ONCE),
    ("gtid_next_list", ONCE),
    ("gtid_seq_no", ONCE),
    ("gtid_domain_id", ORIGIN),
    ("server_id", ORIGIN),
    ("insert_id", ONCE),
    ("identity", MEMORY),
    ("last_insert_id", MEMORY),
    ("rand_seed1", ONCE),
    ("rand_seed2", ONCE),
    ("timestamp", CLOCK),
    ("pseudo_thread_id", THREAD),
    ("pseudo_replica_mode", THREAD),
    ("pseudo_slave_mode", THREAD),
    ("rbr_exec_mode", THREAD),
    ("slave_exec_mode", THREAD),
    ("require_row_format", THREAD),
    ("original_commit_timestamp", ORIGIN),
    ("original_server_version", ORIGIN),
    ("immediate_server_version", ORIGIN),
    ("transaction_write_set_extraction", ORIGIN),
    ("profiling", MEMORY),
    ("profiling_history_size", MEMORY),
    ("debug", MEMORY),
    ("debug_dbug", MEMORY),
    ("debug_sync", MEMORY),
    ("character_set_database", SCHEMA),
    ("collation_database", SCHEMA),
    ("xa_detach_on_prepare", MEMORY),
    ("resultset_metadata", WIRE),
    ("net_buffer_length", WIRE),
    ("max_allowed_packet", WIRE),
];

#[cfg(test)]
mod tests {
    use super::{PINNED, Policy, policy};

    #[test]
    fn the_table_is_found_by_name() {
        assert_eq!(policy("sql_mode"), Policy::Replay);
        assert!(matches!(policy("sql_log_bin"), Policy::Pin(_)));
        assert_eq!(policy("session_track_gtids"), Policy::Own);
        for (name, reason) in PINNED {
            assert_eq!(name.to_ascii_lowercase(), *name);
            assert!(!reason.is_empty());
        }
    }
}
