//! What a person sees who wrote a configuration: errors word by word, warnings, the shown file.

use std::fs;
use std::path::Path;

use proptest::prelude::{Strategy, any, prop, proptest};
use tempfile::TempDir;

use super::difference::needs_restart;
use super::plan::Plan;
use crate::model::{Credential, Verifier};

mod mistakes;

const LISTENER: &str = "[[listener]]\nname = \"app\"\naddress = \"127.0.0.1:6432\"\n";
const GROUP: &str = "[[target_group]]\nname = \"main\"\n";
const TARGET: &str = "[[target_group.target]]\naddress = \"db.example.com:5432\"\n";
const USER: &str = "[[user]]\nname = \"ann\"\npassword_file = \"secret\"\n";
const SCRAM: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

/// A folder with the files that configurations here name.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, content) in [
            ("secret", "hunter2\n"),
            ("empty", "\n"),
            ("crt", ""),
            ("key", ""),
            ("ca", ""),
        ] {
            folder.write(name, content);
        }
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path().join(name), content).unwrap();
    }

    /// Loads a text; an error without the folder's name.
    fn load(&self, text: &str) -> Result<Plan, String> {
        self.write("sluice.toml", text);
        super::load(&self.path().join("sluice.toml"))
            .map_err(|error| error.to_string().replace(&self.prefix(), ""))
    }

    fn show(&self, text: &str) -> String {
        self.write("sluice.toml", text);
        super::show(&self.path().join("sluice.toml")).unwrap().0
    }

    fn prefix(&self) -> String {
        format!("{}/", self.path().display())
    }
}

fn load(text: &str) -> Plan {
    Folder::new().load(text).unwrap()
}

/// A file that works, with more keys for its listener, its target group and its user. Where none
/// are given, an empty line stands in their place.
fn file(listener: &str, group: &str, user: &str) -> String {
    [LISTENER, listener, GROUP, group, TARGET, USER, user]
        .map(|part| format!("{}\n", part.trim_end()))
        .concat()
}

#[test]
fn a_file_without_mistakes_has_no_warnings() {
    let plan = load(&file("", "", ""));
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    let user = plan.users.user("ann").unwrap();
    let Some(Credential::Password(password)) = &user.server_credential else {
        panic!("{user:?}");
    };
    assert_eq!(password.expose(), b"hunter2");
}

#[test]
fn warnings_say_what_should_not_stay_so() {
    let inline = "[[user]]\nname = \"bob\"\npassword = \"hunter2\"\nserver_password = \"x\"\n";
    let verifier = format!("[[user]]\nname = \"cy\"\npassword = \"{SCRAM}\"\n");
    let text = file("", "server_tls_ca_file = \"ca\"", "") + inline + &verifier;
    let warnings = load(&text.replace("127.0.0.1", "0.0.0.0")).warnings;
    assert_eq!(
        warnings,
        [
            "target group \"main\": server_tls_ca_file is not used, as server_tls_mode verifies \
             nothing; \"verify-full\" does",
            "listener \"app\" takes clients from other machines without TLS",
            "user \"bob\": password stands in the configuration file; password_file and \
             password_env are safer",
            "user \"bob\": server_password stands in the configuration file; \
             server_password_file and server_password_env are safer",
        ]
    );
}

#[test]
fn a_configured_user_counts_before_the_userlist() {
    let folder = Folder::new();
    let list = format!("\"ann\" \"other\"\n\"bob\" \"{SCRAM}\"\n\"cy\" \"plain\"\n\"dan\" \"\"\n");
    folder.write("list", &list);
    let text = format!("[general]\nuserlist_file = \"list\"\n{}", file("", "", ""));
    let users = folder.load(&text).unwrap().users;
    assert_eq!(users.len(), 4);
    let password = |name| match users.user(name).unwrap().server_credential.clone() {
        Some(Credential::Password(password)) => Some(password.expose().to_vec()),
        _ => None,
    };
    assert_eq!(password("ann").as_deref(), Some(&b"hunter2"[..]));
    assert_eq!(password("cy").as_deref(), Some(&b"plain"[..]));
    // What bob proves is passed through.
    assert_eq!(password("bob"), None);
    let bob = users.user("bob").unwrap();
    assert!(matches!(bob.verifier, Some(Verifier::Scram(_))));
    // No proof of dan's can be right.
    assert!(users.user("dan").unwrap().verifier.is_none());
    assert_eq!(password("dan"), None);
}

#[test]
fn a_server_password_counts_before_the_users_own() {
    let folder = Folder::new();
    folder.write("other", "hunter3\r\n");
    let text = file(
        "",
        "",
        "server_password_file = \"other\"\nserver_user = \"ann_rw\"",
    );
    let user = folder.load(&text).unwrap().users.user("ann").unwrap();
    assert_eq!(&*user.server_user, "ann_rw");
    let (Some(Credential::Password(there)), Some(Verifier::Password(here))) =
        (&user.server_credential, &user.verifier)
    else {
        panic!("{user:?}");
    };
    assert_eq!(
        (there.expose(), here.expose()),
        (&b"hunter3"[..], &b"hunter2"[..])
    );
}

#[test]
fn an_auth_user_may_stand_in_the_userlist() {
    let folder = Folder::new();
    folder.write("list", "\"lookup\" \"plain\"\n");
    let group = "auth_query = \"SELECT $1\"\nauth_user = \"lookup\"";
    let text = format!(
        "[general]\nuserlist_file = \"list\"\n{}",
        file("", group, "")
    );
    let plan = folder.load(&text).unwrap();
    assert_eq!(&*plan.groups[0].auth_query.as_ref().unwrap().user, "lookup");
}

#[test]
fn shown_secrets_are_redacted_and_the_rest_loads_again() {
    let folder = Folder::new();
    let inline =
        "[[user]]\nname = \"bob\"\npassword = \"hunter2\"\nserver_password = \"hunter3\"\n";
    let verifier = format!("[[user]]\nname = \"cy\"\npassword = \"{SCRAM}\"\n");
    let listener = "idle_client_timeout = \"1h 30m\"\nallow_startup_options = [\"a\"]";
    let text = file(listener, "max_statement_size = 3000", "") + inline + &verifier;
    let shown = folder.show(&text);
    for secret in ["hunter", "SCRAM-SHA-256$", "4096", "wfPLwcE6"] {
        assert!(!shown.contains(secret), "{secret} in\n{shown}");
    }
    assert!(
        shown.contains("idle_client_timeout = \"1h 30m\""),
        "{shown}"
    );
    // Defaults are shown too.
    assert!(shown.contains("default_pool_size = 20"), "{shown}");
    let plan = folder.load(&shown).unwrap();
    assert_eq!(plan.groups[0].max_statement_bytes, 3000);
    assert_eq!(plan.users.len(), 3);
    assert_eq!(folder.show(&shown), shown);
}

#[test]
fn a_reload_says_what_needs_a_restart() {
    let old = load(&file("", "", ""));
    assert!(needs_restart(&old, &load(&file("", "default_pool_size = 3", ""))).is_empty());
    let general = "[general]\nworker_threads = 77\nlog_format = \"json\"\nlog_level = \"warn\"\n";
    let new = load(&(general.to_owned() + &file("backlog = 7", "", "")));
    assert_eq!(
        needs_restart(&old, &new),
        [
            "general.worker_threads",
            "general.log_format",
            "address, backlog or keepalive of listener \"app\"",
        ]
    );
    let renamed = load(&file("", "", "").replace("\"app\"", "\"other\""));
    assert_eq!(
        needs_restart(&old, &renamed),
        ["listener \"app\" (removed)", "listener \"other\" (added)"]
    );
}

/// A working file with a piece of it replaced.
fn damaged() -> impl Strategy<Value = String> {
    let whole = file(
        "pool_mode = \"session\"",
        "auth_database = \"x\"",
        "pool_size = 3",
    );
    let length = whole.chars().count();
    (0..length, 0..20usize, ".{0,12}").prop_map(move |(start, gone, text)| {
        let before = whole.chars().take(start);
        let after = whole.chars().skip(start + gone);
        before.chain(text.chars()).chain(after).collect()
    })
}

proptest! {
    #[test]
    fn any_text_is_survived(text in any::<String>()) {
        let _ = Folder::new().load(&text);
    }

    #[test]
    fn any_damage_is_survived_and_told_on_one_line(text in damaged()) {
        if let Err(error) = Folder::new().load(&text) {
            assert!(error.starts_with("sluice.toml"), "{error}");
            assert!(error.len() < 400, "{error}");
        }
    }

    #[test]
    fn any_key_and_value_are_survived(key in "[a-z_]{1,20}", value in prop::sample::select(vec![
        "1", "-1", "1.5", "true", "\"x\"", "[]", "[1]", "{}", "{ a = 1 }", "1979-05-27", "inf",
    ])) {
        for table in ["listener", "target_group", "user", "database"] {
            let text = file("", "", "") + &format!("[[{table}]]\n{key} = {value}\n");
            Folder::new().load(&text).unwrap_err();
        }
    }
}
