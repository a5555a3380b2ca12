//! What files mean: defaults, completions, who may log in, where secrets come from.

use std::time::Duration;

use super::{Folder, GROUP, LEAST, LISTENER, SCRAM, USER, load_text, with};
use crate::auth::options::UserOptions;
use crate::config::Plan;
use crate::model::{Credential, EngineFamily, PinReason, Pins, PoolMode, Secret, Share, Verifier};
use crate::net::options::{ClientCert, TlsMode, TlsVersion};

const WITH_TLS: &str = "tls_cert_file = \"server.crt\"\ntls_key_file = \"server.key\"";

fn user(plan: &Plan, name: &str) -> UserOptions {
    (*plan.users.user(name).unwrap()).clone()
}

fn password(verifier: Option<&Verifier>) -> &[u8] {
    match verifier {
        Some(Verifier::Password(password)) => password.expose(),
        other => panic!("{other:?}"),
    }
}

fn shown_password(credential: Option<&Credential>) -> &[u8] {
    match credential {
        Some(Credential::Password(password)) => password.expose(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let plan = load_text(LEAST).unwrap();
    assert_eq!(plan.warnings, Vec::<String>::new());
    assert!(plan.general.worker_threads >= 1);
    assert_eq!(plan.general.max_client_conn, 10_000);
    assert_eq!(plan.general.shutdown_timeout, Duration::from_secs(30));
    let [listener] = &*plan.listeners else {
        panic!();
    };
    assert_eq!(listener.engine, EngineFamily::Postgres);
    assert_eq!(listener.group.as_deref(), Some("main"));
    assert_eq!(listener.auth_method, None);
    assert_eq!(listener.pool_mode, None);
    assert_eq!(
        listener.limits.idle_client_timeout,
        Duration::from_secs(1800)
    );
    assert_eq!(listener.limits.login_timeout, Duration::from_secs(60));
    assert_eq!(listener.limits.allow_options, None);
    let [group] = &*plan.groups else {
        panic!();
    };
    let [target] = &*group.topology.seeds else {
        panic!();
    };
    assert_eq!(&*target.name, "db:5432");
    assert_eq!(
        (&*target.host, target.port, target.role),
        ("db", 5432, None)
    );
    assert_eq!(group.limits.max_connections_percent, 100);
    assert_eq!(group.limits.max_idle_connections_percent, 50);
    assert_eq!(group.pool.size, 20);
    assert_eq!(group.pool.borrow_timeout, Duration::from_secs(120));
    assert_eq!(group.pool_mode, PoolMode::Transaction);
    assert_eq!(group.dial.tls.mode, TlsMode::Prefer);
    assert_eq!(group.max_statement_bytes, 1 << 20);
    let user = user(&plan, "app");
    assert_eq!(password(user.verifier.as_ref()), b"a secret");
    assert_eq!(shown_password(user.server_credential.as_ref()), b"a secret");
    assert_eq!(&*user.server_user, "app");
}

#[test]
fn idle_connections_are_half_by_default() {
    let text = with(&[(GROUP, "max_connections_percent = 41")]);
    let plan = load_text(&text).unwrap();
    assert_eq!(plan.groups[0].limits.max_idle_connections_percent, 20);
}

#[test]
fn files_are_sought_beside_the_configuration() {
    let folder = Folder::new();
    let text = with(&[
        (LISTENER, WITH_TLS),
        (
            LISTENER,
            "tls_client_ca_file = \"ca.crt\"\ntls_client_cert = \"optional\"\ntls_min_version = \"1.3\"\n\
             allow_startup_options = [\"TimeZone\"]\nrequire_tls = true",
        ),
    ]);
    let plan = folder.load(&text).unwrap();
    let tls = plan.listeners[0].tls.as_ref().unwrap();
    assert_eq!(tls.cert_file, folder.path().join("server.crt"));
    assert_eq!(
        tls.client_ca_file.as_deref(),
        Some(&*folder.path().join("ca.crt"))
    );
    assert_eq!(tls.client_cert, ClientCert::Optional);
    assert_eq!(tls.min_version, TlsVersion::V1_3);
    let allowed = plan.listeners[0].limits.allow_options.as_deref().unwrap();
    assert_eq!(allowed, ["timezone".to_owned()]);
}

#[test]
fn secrets_come_from_one_place() {
    let text = with(&[(
        USER,
        "[[user]]\nname = \"env\"\npassword_env = \"CARGO_PKG_NAME\"\n\
         server_password_file = \"crlf\"\nserver_user = \"other\"",
    )]);
    let folder = Folder::new();
    folder.write("crlf", "two\nlines\r\n");
    let plan = folder.load(&text).unwrap();
    let user = user(&plan, "env");
    assert_eq!(password(user.verifier.as_ref()), b"sluice");
    assert_eq!(
        shown_password(user.server_credential.as_ref()),
        b"two\nlines"
    );
    assert_eq!(&*user.server_user, "other");

    for (keys, key, told) in [
        (
            "password = \"x\"\npassword_env = \"HOME\"",
            "17:16: user \"b\", `password_env`",
            "give the secret in one way only: inline, _file or _env",
        ),
        (
            "password_env = \"SLUICE_NO_SUCH_VARIABLE\"",
            "16:16: user \"b\", `password_env`",
            "environment variable SLUICE_NO_SUCH_VARIABLE is not set",
        ),
        (
            "password_file = \"empty\"",
            "16:17: user \"b\", `password_file`",
            "the password is empty",
        ),
        (
            "password = \"SCRAM-SHA-256$4096:aaaa\"",
            "16:12: user \"b\", `password`",
            "the SCRAM-SHA-256 verifier is damaged",
        ),
        (
            "password = \"x\"\nserver_password = \"md53175bce1d3201d16594cebf9d7eb3f9d\"",
            "17:19: user \"b\", `server_password`",
            "the server takes the password itself only: this is a hash that stands for one",
        ),
    ] {
        let text = with(&[(USER, &format!("[[user]]\nname = \"b\"\n{keys}"))]);
        let expected = format!("sluice.toml:{key}: {told}");
        assert_eq!(load_text(&text).unwrap_err(), [expected], "{keys}");
    }
}

#[test]
fn secrets_are_never_shown() {
    for text in [
        "password = 4815162342",
        "password = [\"4815162342\"]",
        "password = { a = \"4815162342\" }",
        "server_password = 4815162342",
        "password = 4815162342x",
        "password = \"SCRAM-SHA-256$4815162342\"",
        "pasword = \"4815162342\"",
    ] {
        let told = load_text(&with(&[(GROUP, "[[user]]\nname = \"b\""), ("\"b\"", text)]));
        let told = told.unwrap_err().join("\n");
        assert!(!told.contains("4815162342"), "{told}");
    }
    let text = with(&[(
        USER,
        "[[user]]\nname = \"b\"\npassword = \"4815162342\"\nserver_password = \"4815162342\"",
    )]);
    let folder = Folder::new();
    let shown = folder.show(&text);
    assert!(!shown.contains("4815162342"), "{shown}");
    assert_eq!(shown.matches("\"redacted\"").count(), 2, "{shown}");
    let raw: crate::config::raw::File = toml::from_str(&text).unwrap();
    let plan = folder.load(&text).unwrap();
    for debug in [format!("{raw:?}"), format!("{plan:?}")] {
        assert!(!debug.contains("4815162342"), "{debug}");
    }
}

#[test]
fn what_is_printed_means_the_same() {
    let text = with(&[(
        USER,
        "server_password_file = \"app.password\"\n\
         [[database]]\nname = \"d\"\npool_size = 3",
    )]);
    let folder = Folder::new();
    let shown = folder.show(&text);
    for filled in [
        "max_idle_connections_percent = 50",
        "target_group = \"main\"",
        "server_database = \"d\"",
        "server_user = \"app\"",
        "certificate_names = [\"app\"]",
    ] {
        assert!(shown.contains(filled), "{filled} is not in\n{shown}");
    }
    assert!(!shown.contains("worker_threads = 0"), "{shown}");
    // Once more changes nothing.
    assert_eq!(folder.show(&shown), shown);
}

#[test]
fn a_user_may_stand_in_both_places() {
    let text = with(&[(
        USER,
        "[[user]]\nname = \"listed\"\npool_size = 3\n[general]\nuserlist_file = \"userlist.txt\"",
    )]);
    let plan = load_text(&text).unwrap();
    assert_eq!(plan.warnings, Vec::<String>::new());
    let listed = user(&plan, "listed");
    assert_eq!(listed.pool_size, Some(3));
    assert_eq!(password(listed.verifier.as_ref()), b"its secret");
    assert!(matches!(
        user(&plan, "md5").verifier,
        Some(Verifier::Md5(_))
    ));
}

#[test]
fn a_configured_user_counts_before_the_userlist() {
    let folder = Folder::new();
    let list =
        format!("\"app\" \"other\"\n\"asker\" \"plain\"\n\"bob\" \"{SCRAM}\"\n\"dan\" \"\"\n");
    folder.write("list", &list);
    let text = with(&[
        (GROUP, "auth_query = \"SELECT $1\"\nauth_user = \"asker\""),
        (USER, "[general]\nuserlist_file = \"list\""),
    ]);
    let plan = folder.load(&text).unwrap();
    assert_eq!(plan.users.len(), 4);
    assert_eq!(password(user(&plan, "app").verifier.as_ref()), b"a secret");
    // An auth_user may stand in the userlist.
    let asker = user(&plan, "asker");
    assert_eq!(shown_password(asker.server_credential.as_ref()), b"plain");
    // What bob proves is passed through.
    let bob = user(&plan, "bob");
    assert!(matches!(bob.verifier, Some(Verifier::Scram(_))));
    assert!(bob.server_credential.is_none());
    // No proof of dan's can be right.
    assert!(user(&plan, "dan").verifier.is_none());
}

#[test]
fn a_verifier_is_passed_through_and_needs_no_warning() {
    let plan = load_text(&LEAST.replace(
        "password_file = \"app.password\"",
        &format!("password = \"{SCRAM}\""),
    ))
    .unwrap();
    assert_eq!(plan.warnings, Vec::<String>::new());
    let user = user(&plan, "app");
    assert!(matches!(&user.verifier, Some(Verifier::Scram(v)) if v.stored_key != Secret::new("")));
    assert!(user.server_credential.is_none());
}

#[test]
fn what_should_not_stay_is_warned_of() {
    let plan = load_text(
        &with(&[
            (
                USER,
                "server_password = \"x\"\n\
                 [[user]]\nname = \"b\"\npassword = \"x\"\n\
                 [[user]]\nname = \"none\"",
            ),
            (GROUP, "auth_query = \"SELECT $1\"\nauth_user = \"b\""),
        ])
        .replace("127.0.0.1:6432", "0.0.0.0:6432"),
    )
    .unwrap();
    assert_eq!(
        plan.warnings,
        [
            "listener \"app\" takes clients from other machines without TLS",
            "user \"app\": the server_password stands in the configuration file; server_password_file or server_password_env are safer",
            "user \"b\": the password stands in the configuration file; password_file, password_env or a SCRAM-SHA-256 verifier are safer",
            "user \"none\" has no password, so it cannot log in",
        ]
    );
    let plan = load_text(&with(&[(
        USER,
        "[[user]]\nname = \"hash\"\npassword = \"md53175bce1d3201d16594cebf9d7eb3f9d\"",
    )]));
    assert_eq!(
        plan.unwrap().warnings,
        ["user \"hash\" has an md5 hash, which scram-sha-256 cannot use, so it cannot log in"]
    );
    let plan = load_text(&with(&[(GROUP, "server_tls_ca_file = \"ca.crt\"")])).unwrap();
    assert_eq!(
        plan.warnings,
        [
            "target_group \"main\": server_tls_ca_file is not used, because this server_tls_mode verifies nothing; \"verify-full\" does"
        ]
    );
}

/// Address, keys of the listener, method; and what is wrong, if anything.
const METHODS: [(&str, &str, &str, &str); 12] = [
    ("127.0.0.1", "", "trust", ""),
    ("[::1]", "", "trust", ""),
    ("0.0.0.0", "", "trust", TRUST),
    ("[::ffff:127.0.0.1]", "", "trust", TRUST),
    ("0.0.0.0", WITH_REQUIRED, "trust", TRUST),
    ("127.0.0.1", "", "password", NEEDS_TLS),
    ("127.0.0.1", WITH_TLS, "password", ""),
    ("0.0.0.0", WITH_TLS, "password", NEEDS_REQUIRED),
    ("0.0.0.0", WITH_REQUIRED, "password", ""),
    ("0.0.0.0", WITH_REQUIRED, "cert", NEEDS_CERT),
    ("0.0.0.0", WITH_CLIENTS, "cert", ""),
    ("127.0.0.1", "", "cert", NEEDS_CERT),
];
const TRUST: &str = "\"trust\" lets anybody in: it is only for listeners on a loopback address";
const NEEDS_TLS: &str =
    "\"password\" sends passwords in the clear: it needs tls_cert_file and tls_key_file";
const NEEDS_REQUIRED: &str =
    "\"password\" sends passwords in the clear: it needs require_tls = true";
const NEEDS_CERT: &str = "\"cert\" needs TLS with tls_client_cert = \"optional\" or \"required\"";
const WITH_REQUIRED: &str =
    "tls_cert_file = \"server.crt\"\ntls_key_file = \"server.key\"\nrequire_tls = true";
const WITH_CLIENTS: &str = "tls_cert_file = \"server.crt\"\ntls_key_file = \"server.key\"\n\
    tls_client_ca_file = \"ca.crt\"\ntls_client_cert = \"required\"";

#[test]
fn methods_are_used_where_they_are_safe() {
    for (address, keys, method, problem) in METHODS {
        let listener = format!("{keys}\nauth_method = \"{method}\"");
        let text =
            with(&[(LISTENER, &listener)]).replace("127.0.0.1:6432", &format!("{address}:6432"));
        let told = load_text(&text).err().unwrap_or_default().join("\n");
        assert!(told.ends_with(problem), "{told}");
        assert_eq!(
            told.is_empty(),
            problem.is_empty(),
            "{address} {keys} {method}: {told}"
        );
    }
}

#[test]
fn a_user_is_no_way_around_that() {
    for (address, keys, method, problem) in METHODS {
        let text = with(&[
            (LISTENER, keys),
            (USER, &format!("auth_method = \"{method}\"")),
        ]);
        let text = text.replace("127.0.0.1:6432", &format!("{address}:6432"));
        let told = load_text(&text).err().unwrap_or_default().join("\n");
        assert_eq!(
            told.is_empty(),
            problem.is_empty(),
            "{address} {keys} {method}: {told}"
        );
        if !problem.is_empty() {
            let place = "user \"app\", `auth_method`: listener \"app\": ";
            assert!(told.ends_with(&format!("{place}{problem}")), "{told}");
        }
    }
}

#[test]
fn a_certificate_user_needs_one_listener_that_asks() {
    let second = format!(
        "[[listener]]\nname = \"b\"\naddress = \"127.0.0.1:6433\"\n{WITH_CLIENTS}\n\
         [[user]]\nname = \"c\"\nauth_method = \"cert\"\ncertificate_names = [\"c.internal\"]"
    );
    let plan = load_text(&with(&[(USER, &second)])).unwrap();
    assert_eq!(plan.warnings, Vec::<String>::new());
    assert_eq!(user(&plan, "c").certificate_names, ["c.internal"]);
}

#[test]
fn pins_can_be_filtered_and_state_verified() {
    let plan = load_text(&with(&[])).unwrap();
    assert_eq!(plan.groups[0].pins.filtered, Pins::NONE);
    assert_eq!(plan.groups[0].pins.verify, Share::of(0.001));
    assert!(plan.groups[0].pins.share_feeds);
    let keys = "session_pinning_filters = [\"EXCLUDE_VARIABLE_SETS\", \"temp_object\"]\n\
                verify_session_state = 1\nshared_listen = false";
    let database = "[[database]]\nname = \"*\"\nsession_pinning_filters = [\"listen\"]\n\
                    [[user]]\nname = \"u\"\nsession_pinning_filters = []";
    let plan = load_text(&with(&[(GROUP, keys), (USER, database)])).unwrap();
    let expected = Pins::of(&[PinReason::Setting, PinReason::TempObject]);
    assert_eq!(plan.groups[0].pins.filtered, expected);
    assert!(plan.groups[0].pins.verify.is_all());
    assert!(!plan.groups[0].pins.share_feeds);
    let listen = Pins::of(&[PinReason::Listen]);
    assert_eq!(plan.databases[0].filtered_pins, Some(listen));
    assert_eq!(user(&plan, "u").filtered_pins, Some(Pins::NONE));
    for (key, told) in [
        ("verify_session_state = 1.5", "a number from 0.0 to 1.0"),
        ("session_pinning_filters = [\"session_mode\"]", "expected"),
    ] {
        let problem = load_text(&with(&[(GROUP, key)])).unwrap_err().join("");
        assert!(problem.contains(told), "{problem}");
    }
}

#[test]
fn databases_override() {
    let plan = load_text(&with(&[(
        USER,
        "[[database]]\nname = \"*\"\npool_mode = \"session\"\npool_size = 3\nmin_pool_size = 1\n\
         max_client_conn = 7",
    )]))
    .unwrap();
    let [all] = &*plan.databases else {
        panic!();
    };
    assert_eq!(all.pool_mode, Some(PoolMode::Session));
    assert_eq!((all.pool_size, all.min_pool_size), (Some(3), Some(1)));
    assert_eq!((&*all.name, all.max_client_conn), ("*", 7));
    assert_eq!((&all.group, &all.server_database), (&None, &None));
    for (key, told) in [
        (
            "server_database = \"x\"",
            "`server_database`: cannot be given for \"*\"",
        ),
        ("pool_size = 0", "`pool_size`: must be at least 1"),
        (
            "pool_size = 1\nmin_pool_size = 2",
            "`min_pool_size`: must not be above pool_size",
        ),
    ] {
        let text = with(&[(USER, &format!("[[database]]\nname = \"*\"\n{key}"))]);
        let problem = load_text(&text).unwrap_err().join("");
        assert!(problem.ends_with(told), "{problem}");
    }
}
