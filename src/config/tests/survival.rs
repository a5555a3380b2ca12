//! No text panics.

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::sample::select;
use proptest::test_runner::Config;

use super::{Folder, LEAST};

/// Pieces of configuration in any order, right and wrong.
fn pieces() -> impl Strategy<Value = String> {
    let keys = [
        "name",
        "address",
        "engine",
        "backlog",
        "tls_cert_file",
        "auth_method",
        "target",
        "target_group",
        "max_connections_percent",
        "query_timeout",
        "auth_query",
        "auth_user",
        "password",
        "server_password_file",
        "certificate_names",
        "pool_size",
        "worker_threads",
        "admin_address",
        "log_level",
        "userlist_file",
        "max_statement_size",
        "listener",
    ];
    let values = [
        "1",
        "-1",
        "9223372036854775807",
        "1.5",
        "nan",
        "true",
        "\"\"",
        "\"*\"",
        "\"app\"",
        "\"127.0.0.1:0\"",
        "\"[::]:1\"",
        "\"10y\"",
        "\"99999999999999999999y\"",
        "\"1GB\"",
        "\"trust\"",
        "\"ca.crt\"",
        "\"/\"",
        "\"\\u0000\"",
        "[]",
        "[1, \"a\"]",
        "{}",
        "[{ address = \"x\" }]",
        "1979-05-27T07:32:00Z",
        "'''\n[[listener]]\n'''",
        "\"SCRAM-SHA-256$\"",
    ];
    let tables = [
        "[general]",
        "[[listener]]",
        "[listener]",
        "[[target_group]]",
        "[[target_group.target]]",
        "[[database]]",
        "[[user]]",
        "[[ \"user\" ]]",
        "[[listener.name]]",
        "[a.b]",
    ];
    prop_oneof![
        (select(keys.to_vec()), select(values.to_vec()))
            .prop_map(|(key, value)| format!("{key} = {value}\n")),
        select(tables.to_vec()).prop_map(|table| format!("{table}\n")),
        any::<String>(),
        Just(LEAST.to_owned()),
    ]
}

/// A file that works, with a piece of it replaced.
fn damaged() -> impl Strategy<Value = String> {
    let length = LEAST.chars().count();
    (0..length, 0..20_usize, ".{0,12}").prop_map(|(start, gone, text)| {
        let before = LEAST.chars().take(start);
        let after = LEAST.chars().skip(start + gone);
        before.chain(text.chars()).chain(after).collect()
    })
}

proptest! {
    #![proptest_config(Config::with_cases(400))]

    #[test]
    fn any_text_is_survived(pieces in proptest::collection::vec(pieces(), 0..30)) {
        let folder = Folder::new();
        for text in [pieces.concat(), format!("{LEAST}{}", pieces.concat())] {
            if let Err(problems) = folder.load(&text) {
                assert!(!problems.is_empty());
            }
        }
    }

    #[test]
    fn any_damage_is_survived_and_told_on_short_lines(text in damaged()) {
        for problem in Folder::new().load(&text).err().into_iter().flatten() {
            assert!(problem.starts_with("sluice.toml"), "{problem}");
            assert!(problem.len() < 400 && !problem.contains('\n'), "{problem}");
        }
    }
}
