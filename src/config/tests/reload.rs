//! What a reload reports as needing a restart: these keys and no others.

use super::{GROUP, LEAST, LISTENER, USER, load_text, with};
use crate::config::difference::needs_restart;

#[track_caller]
fn changed(new: &str, expected: &[&str]) {
    let (old, new) = (load_text(LEAST).unwrap(), load_text(new).unwrap());
    assert_eq!(needs_restart(&old, &new), expected);
}

#[test]
fn keys_of_the_process_and_of_sockets_need_a_restart() {
    changed(LEAST, &[]);
    let general =
        "[general]\nworker_threads = 7\nadmin_address = \"127.0.0.1:1\"\nlog_format = \"json\"\n";
    changed(
        &format!("{general}{LEAST}"),
        &[
            "general.worker_threads",
            "general.admin_address",
            "general.log_format",
        ],
    );
    changed(
        &with(&[(
            LISTENER,
            "backlog = 1\ntcp_keepalive_idle = \"1s\"\ntcp_keepalive_interval = \"1s\"\n\
             tcp_keepalive_count = 1\ntcp_user_timeout = \"1s\"",
        )])
        .replace("127.0.0.1:6432", "127.0.0.1:6433"),
        &[
            "listener \"app\", address",
            "listener \"app\", backlog",
            "listener \"app\", tcp_keepalive_idle",
            "listener \"app\", tcp_keepalive_interval",
            "listener \"app\", tcp_keepalive_count",
            "listener \"app\", tcp_user_timeout",
        ],
    );
    changed(
        &LEAST.replacen("\"app\"", "\"b\"", 1),
        &["listener \"app\" (removed)", "listener \"b\" (added)"],
    );
}

#[test]
fn everything_else_applies_at_once() {
    let general = "[general]\nmax_client_conn = 1\nmax_client_conn_per_address = 1\n\
        log_level = \"warn\"\nlog_connections = false\nshutdown_timeout = \"1s\"\n\
        userlist_file = \"userlist.txt\"\n";
    let text = with(&[
        (
            LISTENER,
            "tls_cert_file = \"server.crt\"\ntls_key_file = \"server.key\"\nrequire_tls = true\n\
             auth_method = \"md5\"\npool_mode = \"session\"\nmax_client_conn = 1\n\
             idle_client_timeout = \"1s\"\nclient_login_timeout = \"1s\"\n\
             max_prepared_statements_per_client = 1\ntarget_group = \"main\"",
        ),
        (
            GROUP,
            "max_connections_percent = 1\ndefault_pool_size = 1\ninit_query = \"SELECT 1\"\n\
             server_tls_mode = \"require\"\ntcp_keepalive_count = 1\n",
        ),
        (USER, "pool_size = 1\n[[database]]\nname = \"x\""),
    ]);
    changed(&format!("{general}{text}"), &[]);
}
