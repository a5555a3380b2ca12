//! What is known of single settings, by their names
//! (<https://www.postgresql.org/docs/current/runtime-config.html>; contexts and checks are those of
//! the server's `guc_tables.c`).

/// True for settings that neither the parser nor the planner looks at. Any other is taken to
/// matter: it may decide what a constant in a text means (`DateStyle`, `client_encoding`), how one
/// is folded (`extra_float_digits`), what a name means, or which plan is made.
pub fn is_planner_blind(name: &str) -> bool {
    PLANNER_BLIND.contains(&name)
}

/// True if any role may change the setting at any time, and a value that was accepted once is
/// accepted again: it names nothing that can be dropped.
pub fn is_plain(name: &str) -> bool {
    match name.split_once('.') {
        // Settings of the client's own making. An extension may know better about its own.
        Some((prefix, _)) => !EXTENSIONS.contains(&prefix),
        None => {
            PLAIN.binary_search(&name).is_ok() || PLAIN_PREFIXES.iter().any(|p| name.starts_with(p))
        }
    }
}

/// True for lists of names, which SET puts together anew (`GUC_LIST_QUOTE`, which extensions cannot
/// give their settings).
pub fn is_list_of_names(name: &str) -> bool {
    LISTS_OF_NAMES.contains(&name)
}

const LISTS_OF_NAMES: [&str; 4] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "temp_tablespaces",
];

const PLANNER_BLIND: [&str; 13] = [
    "application_name",
    "client_connection_check_interval",
    "client_min_messages",
    "deadlock_timeout",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "lock_timeout",
    "statement_timeout",
    "synchronous_commit",
    "tcp_keepalives_count",
    "tcp_keepalives_idle",
    "tcp_keepalives_interval",
    "transaction_timeout",
];

/// In order. Settings of context `user` whose checks depend on nothing but the value.
const PLAIN: [&str; 59] = [
    "application_name",
    "array_nulls",
    "backslash_quote",
    "bytea_output",
    "check_function_bodies",
    "client_encoding",
    "client_min_messages",
    "constraint_exclusion",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "cursor_tuple_fraction",
    "datestyle",
    "default_statistics_target",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "effective_cache_size",
    "effective_io_concurrency",
    "escape_string_warning",
    "extra_float_digits",
    "from_collapse_limit",
    "gin_fuzzy_search_limit",
    "hash_mem_multiplier",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "jit_above_cost",
    "join_collapse_limit",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "maintenance_work_mem",
    "max_parallel_maintenance_workers",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
    "parallel_leader_participation",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "plan_cache_mode",
    "quote_all_identifiers",
    "random_page_cost",
    "recursive_worktable_factor",
    "row_security",
    "search_path",
    "seq_page_cost",
    "standard_conforming_strings",
    "statement_timeout",
    "synchronize_seqscans",
    "timezone",
    "transaction_timeout",
    "transform_null_equals",
    "work_mem",
    "xmlbinary",
    "xmloption",
];

const PLAIN_PREFIXES: [&str; 3] = ["enable_", "geqo", "tcp_"];

/// Modules with settings of their own, which are checked once the module is loaded
/// (<https://www.postgresql.org/docs/current/contrib.html>, and PostGIS).
const EXTENSIONS: [&str; 16] = [
    "anon",
    "auth_delay",
    "auto_explain",
    "basic_archive",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_trgm",
    "pgaudit",
    "plperl",
    "plpgsql",
    "plpython3",
    "pltcl",
    "postgis",
    "postgres_fdw",
    "sepgsql",
    "timescaledb",
];

#[cfg(test)]
mod tests {
    use super::{PLAIN, is_plain, is_planner_blind};

    #[test]
    fn the_list_is_in_order() {
        assert!(PLAIN.is_sorted());
    }

    #[test]
    fn what_names_an_object_or_needs_rights_is_not_plain() {
        for name in [
            "role",
            "session_authorization",
            "default_text_search_config",
            "temp_tablespaces",
            "default_tablespace",
            "log_statement",
            "session_replication_role",
            "plpgsql.variable_conflict",
        ] {
            assert!(!is_plain(name), "{name}");
        }
        for name in ["search_path", "app.tenant", "enable_seqscan", "jit"] {
            assert!(is_plain(name), "{name}");
        }
        assert!(is_planner_blind("statement_timeout") && !is_planner_blind("app.tenant"));
    }
}
