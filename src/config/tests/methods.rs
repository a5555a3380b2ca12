//! Which methods and stored hashes go with which engine.

use super::{Folder, load_text};
use crate::model::{AuthMethod, Verifier};

const NATIVE: &str = "*7614BE58636C810A9D8970A50B3B2A78450413E4";
const CACHING: &str = "0x24412430304124034C2879627E6C5F4D22366802023D3D547D67474D797144576A2E39364F6953797338525968314F6D662F664C465379656234584F486C562E706A3863702F";
const ED25519: &str = "ed25519:x1YAMCvR7TI3XkfIDrsGUiePkxOybYVG94ctSSWCDSc";
const TLS: &str = "tls_cert_file = \"server.crt\"\ntls_key_file = \"server.key\"";

/// A listener, a group and a user; the first and last with keys of their own.
fn file(engine: &str, listener: &str, user: &str) -> String {
    format!(
        "[[listener]]\nname = \"app\"\nengine = \"{engine}\"\naddress = \"127.0.0.1:6432\"\n{listener}\n\
         [[target_group]]\nname = \"main\"\nengine = \"{engine}\"\n\
         [[target_group.target]]\naddress = \"db:1\"\n\
         [[user]]\nname = \"app\"\n{user}\n"
    )
}

fn problem(text: &str) -> String {
    load_text(text).err().unwrap_or_default().join("\n")
}

#[test]
fn each_engine_has_its_own() {
    let both = ["password", "trust"];
    let postgres = ["scram-sha-256", "md5"];
    let mysql = [
        "caching_sha2_password",
        "mysql_native_password",
        "sha256_password",
        "mysql_clear_password",
        "client_ed25519",
    ];
    for (engine, good, bad) in [
        ("postgresql", &postgres[..], &mysql[..3]),
        ("mysql", &mysql[..], &postgres[..]),
    ] {
        let file = |method: &str| {
            let method = format!("auth_method = \"{method}\"\n{TLS}");
            let password = "password_file = \"app.password\"";
            [
                file(engine, &method, password),
                file(
                    engine,
                    TLS,
                    &format!("{password}\n{}", method.replace(TLS, "")),
                ),
            ]
        };
        for method in good.iter().chain(&both) {
            for text in file(method) {
                assert_eq!(problem(&text), "", "{engine} {method}");
            }
        }
        for method in bad {
            let [listener, user] = file(method);
            let told = problem(&listener);
            let end = format!("`auth_method`: \"{method}\" is no method of {engine}");
            assert!(told.ends_with(&end), "{told}");
            let told = problem(&user);
            let end = format!("no listener speaks a protocol that has \"{method}\"");
            assert!(told.ends_with(&end), "{told}");
        }
    }
}

#[test]
fn a_plugin_that_sends_the_password_is_no_way_around_tls() {
    let told = problem(&file("mysql", "auth_method = \"sha256_password\"", ""));
    let end =
        "\"sha256_password\" sends passwords in the clear: it needs tls_cert_file and tls_key_file";
    assert!(told.ends_with(end), "{told}");
}

#[test]
fn a_users_method_counts_on_listeners_of_its_engine() {
    let two = format!(
        "{}[[listener]]\nname = \"pg\"\naddress = \"127.0.0.1:6433\"\ntarget_group = \"pg\"\n\
         [[target_group]]\nname = \"pg\"\n[[target_group.target]]\naddress = \"db:2\"\n",
        file(
            "mysql",
            "target_group = \"main\"",
            "password_file = \"app.password\"\nauth_method = \"md5\""
        )
    );
    let plan = load_text(&two).unwrap();
    assert_eq!(plan.warnings, Vec::<String>::new());
    let user = plan.users.user("app").unwrap();
    assert_eq!(user.auth_method, Some(AuthMethod::Md5));
}

#[test]
fn hashes_of_mysql_are_known_and_warned_of_where_they_are_of_no_use() {
    let folder = Folder::new();
    let warnings = |engine: &str, listener: &str, stored: &str| {
        let text = file(engine, listener, &format!("password = \"{stored}\""));
        let plan = folder.load(&text).unwrap();
        let user = plan.users.user("app").unwrap();
        assert!(!matches!(user.verifier, Some(Verifier::Password(_)) | None));
        // What the client proves is passed through.
        assert!(user.server_credential.is_none());
        plan.warnings.join("\n")
    };
    for stored in [NATIVE, ED25519] {
        assert_eq!(warnings("mysql", "", stored), "");
        let told = warnings("postgresql", "", stored);
        assert!(told.ends_with("a hash that no listener can use, so it cannot log in"));
    }
    assert_eq!(warnings("mysql", TLS, CACHING), "");
    for (engine, listener) in [("mysql", ""), ("postgresql", TLS)] {
        let told = warnings(engine, listener, CACHING);
        assert!(told.contains("inside TLS"), "{told}");
    }
    let told = warnings("mysql", TLS, super::SCRAM);
    assert!(told.ends_with("a hash that no listener can use, so it cannot log in"));
    let told = problem(&file("mysql", "", "password = \"$A$005$short\""));
    assert!(told.ends_with("the caching_sha2_password or sha256_password hash is damaged"));
    let told = problem(&file(
        "mysql",
        "",
        &format!("server_password = \"{NATIVE}\""),
    ));
    assert!(
        told.contains("this is a hash that stands for one"),
        "{told}"
    );
}
