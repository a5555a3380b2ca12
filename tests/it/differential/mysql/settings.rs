//! Settings of sessions, and how all of them are shown.

use crate::{differential::random::Random, support::mysql::Kind};

/// Those that both families have.
const CHANGES: [&str; 62] = [
    "set names utf8mb4",
    "set names latin1",
    "set names utf8mb4 collate utf8mb4_unicode_ci",
    "set names default",
    "set character set utf8mb4",
    "set character_set_results = latin1",
    "set character_set_results = null",
    "set collation_connection = utf8mb4_bin",
    "set character_set_connection = default",
    "set sql_mode = ''",
    "set sql_mode = 'ANSI_QUOTES'",
    "set sql_mode = 'NO_BACKSLASH_ESCAPES'",
    "set sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,STRICT_ALL_TABLES'",
    "set sql_mode = 'TRADITIONAL'",
    "set sql_mode = default",
    "set sql_mode = concat(@@sql_mode, ',PIPES_AS_CONCAT')",
    "set session sql_mode = 'nonsense'",
    "set time_zone = '+03:00'",
    "set time_zone = '-11:30'",
    "set time_zone = default",
    "set time_zone = 'nowhere'",
    "set autocommit = 0",
    "set autocommit = 0",
    "set autocommit = 1",
    "set autocommit = 1",
    "set session transaction isolation level read committed",
    "set session transaction isolation level serializable",
    "set session transaction isolation level repeatable read",
    "set session transaction read only",
    "set session transaction read write",
    "set transaction isolation level read uncommitted",
    "set transaction isolation level serializable, read only",
    "set transaction read only",
    "set transaction read write",
    "set @@transaction_isolation = 'READ-COMMITTED'",
    "set group_concat_max_len = 2048",
    "set group_concat_max_len = group_concat_max_len + 5",
    "set @@session.div_precision_increment = 7, @@session.max_sort_length = 512",
    "set sql_safe_updates = 1",
    "set sql_safe_updates = 0",
    "set foreign_key_checks = 0",
    "set unique_checks = off, foreign_key_checks = on",
    "set lc_time_names = 'de_DE'",
    "set sql_select_limit = 2",
    "set sql_select_limit = default",
    "set wait_timeout = 1000",
    "set net_write_timeout = 77, net_read_timeout = 78",
    "set lock_wait_timeout = 5",
    "set innodb_lock_wait_timeout = 5",
    "set optimizer_switch = 'index_merge=off'",
    "set sql_big_selects = 1",
    "set tmp_table_size = 1048576",
    "set sql_notes = 0",
    "set sql_notes = default",
    "set sql_auto_is_null = 1",
    "set completion_type = 'CHAIN'",
    "set completion_type = default",
    "set nonsense = 1",
    "set global wait_timeout = 5",
    "set time_zone = '+01:00', @a = 1, sql_mode = 'ANSI'",
    "set @b = @@sql_mode, sql_mode = '', @c = @@sql_mode",
    "set time_zone = '+02:00', nonsense = 1",
];

/// Those that cannot be carried over, or that Sluice needs itself.
const ODD: [&str; 18] = [
    "set timestamp = 1000000000",
    "set timestamp = default",
    "set last_insert_id = 77",
    "set insert_id = 500",
    "set rand_seed1 = 5, rand_seed2 = 6",
    "set pseudo_thread_id = 5",
    "set sql_log_bin = 0",
    "set auto_increment_increment = 5",
    "set session_track_schema = off",
    "set session_track_schema = on",
    "set session_track_state_change = on",
    // Not '*': MySQL counts every statement of the server in one of its variables.
    "set session_track_system_variables = 'sql_mode, autocommit'",
    "set session_track_system_variables = 'sql_mode,time_zone'",
    "set session_track_system_variables = ''",
    "set session_track_system_variables = default",
    "set session_track_transaction_info = 'CHARACTERISTICS'",
    "set session_track_transaction_info = 'STATE'",
    "set session_track_transaction_info = default",
];

const MYSQL: [&str; 6] = [
    "set max_execution_time = 5000",
    "set max_execution_time = default",
    "set explicit_defaults_for_timestamp = 0",
    "set windowing_use_high_precision = off",
    "set sql_require_primary_key = 0",
    "set character_set_database = latin1",
];

const MARIADB: [&str; 6] = [
    "set max_statement_time = 50",
    "set statement max_statement_time = 40 for select @@max_statement_time",
    "set statement sql_mode = 'ANSI_QUOTES' for select \"id\" from shared limit 1",
    "set sql_mode = 'ORACLE'",
    "set default_master_connection = ''",
    "set tx_isolation = 'SERIALIZABLE'",
];

/// A statement that changes a setting.
pub fn change(random: &mut Random, kind: Kind) -> String {
    let text = match random.below(20) {
        0..=15 => random.pick(&CHANGES),
        16 | 17 => random.pick(&ODD),
        _ => random.pick(match kind {
            Kind::MySql => &MYSQL,
            Kind::MariaDb => &MARIADB,
        }),
    };
    text.to_owned()
}

/// A query for all of them, and for everything else that a client can see of its session.
pub fn shown(kind: Kind) -> String {
    let mut names = vec![
        "autocommit",
        "character_set_client",
        "character_set_connection",
        "character_set_results",
        "collation_connection",
        "completion_type",
        "div_precision_increment",
        "foreign_key_checks",
        "group_concat_max_len",
        "innodb_lock_wait_timeout",
        "lc_time_names",
        "lock_wait_timeout",
        "max_sort_length",
        "net_read_timeout",
        "net_write_timeout",
        "optimizer_switch",
        "sql_auto_is_null",
        "sql_big_selects",
        "sql_mode",
        "sql_notes",
        "sql_safe_updates",
        "sql_select_limit",
        "time_zone",
        "tmp_table_size",
        "unique_checks",
        "wait_timeout",
    ];
    names.extend(match kind {
        Kind::MySql => &[
            "transaction_isolation",
            "transaction_read_only",
            "max_execution_time",
            "windowing_use_high_precision",
        ][..],
        Kind::MariaDb => &["tx_isolation", "tx_read_only", "max_statement_time"],
    });
    let variables: Vec<String> = names.iter().map(|name| format!("@@{name}")).collect();
    format!(
        "select {}, database(), @a, @b, @c, @v, user(), current_user()",
        variables.join(", ")
    )
}
