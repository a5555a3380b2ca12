//! Tokens of clients: what is refused because it would be unsafe, or could not work.

use super::{GROUP, LISTENER, USER, load_text, with};
use crate::auth::options::IamVerification;
use crate::model::AuthMethod;

const TLS: &str = "tls_cert_file = \"server.crt\"\ntls_key_file = \"server.key\"";
const VERIFIED: &str = "server_tls_mode = \"verify-full\"\nserver_tls_ca_file = \"ca.crt\"";
const KEY: &str = "[[iam_key]]\naccess_key_id = \"AKID\"\nsecret_access_key = \"x\"\naccount = \"123456789012\"\npolicies = [\"all\"]";
const POLICY: &str = "[[iam_policy]]\nname = \"all\"\npolicy = '{\"Statement\": {\"Effect\": \"Allow\", \"Action\": \"*\", \"Resource\": \"*\"}}'";
const ISSUER: &str = "[[jwt_issuer]]\nname = \"i\"\nissuer = \"https://issuer.example.com\"\naudiences = [\"sluice\"]";

fn listener(lines: &str, group: &str, more: &str) -> String {
    let listener = format!("{TLS}\n{lines}");
    let text = with(&[(LISTENER, &listener), (GROUP, group)]);
    format!("{text}\n{more}\n")
}

fn only_problem(text: &str) -> String {
    let problems = load_text(text).unwrap_err();
    let [problem] = &*problems else {
        panic!("{problems:#?}");
    };
    problem.clone()
}

#[test]
fn what_works_loads() {
    let iam = "auth_method = \"iam\"\niam_region = \"eu-west-1\"";
    let plan = load_text(&listener(iam, VERIFIED, "")).unwrap();
    assert_eq!(plan.listeners[0].auth_method, Some(AuthMethod::Iam));
    let tokens = &plan.listeners[0].tokens;
    assert_eq!(tokens.verification, IamVerification::Delegate);
    assert_eq!((&*tokens.resource, tokens.hosts.len()), ("prx-app", 0));
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    // The endpoint's name tells the region.
    let endpoint = listener("auth_method = \"iam\"", VERIFIED, "")
        .replace("db:5432", "db.abc123.eu-west-1.rds.amazonaws.com:5432");
    load_text(&endpoint).unwrap();
    let signature = "auth_method = \"iam\"\niam_verification = \"signature\"\niam_region = \"x-1\"\niam_hosts = [\"proxy\", \"proxy:6432\"]";
    let plan = load_text(&listener(signature, "", &format!("{KEY}\n{POLICY}"))).unwrap();
    assert!(!plan.tokens.keys.is_empty());
    let hosts = &plan.listeners[0].tokens.hosts;
    assert_eq!(**hosts, [("proxy".into(), 5432), ("proxy".into(), 6432)]);
    let plan = load_text(&listener("auth_method = \"jwt\"", "", ISSUER)).unwrap();
    assert_eq!(plan.tokens.issuers[0].algorithms.len(), 3);
}

#[test]
fn what_would_be_unsafe_or_cannot_work_is_refused() {
    let iam = "auth_method = \"iam\"\niam_region = \"eu-west-1\"";
    let signature =
        "auth_method = \"iam\"\niam_region = \"eu-west-1\"\niam_verification = \"signature\"";
    for (text, problem) in [
        (
            with(&[(LISTENER, iam), (GROUP, VERIFIED)]),
            "\"iam\" is asked for inside TLS only: it needs tls_cert_file and tls_key_file",
        ),
        (
            listener(iam, "server_tls_mode = \"require\"", ""),
            "target_group \"main\" needs server_tls_mode = \"verify-full\"",
        ),
        (
            listener("auth_method = \"iam\"", VERIFIED, ""),
            "\"iam\" needs iam_region: the name of the server of target_group \"main\" does not tell the region",
        ),
        (
            listener(signature, "", ""),
            "iam_verification = \"signature\" needs an [[iam_key]]",
        ),
        (
            listener("auth_method = \"jwt\"", "", ""),
            "\"jwt\" needs a [[jwt_issuer]]",
        ),
        (
            listener(&format!("{iam}\niam_hosts = [\"a:b\"]"), VERIFIED, ""),
            "expected \"host:port\", not \"a:b\"",
        ),
        (
            listener("jwt_issuers = [\"j\"]", "", ISSUER),
            "there is no jwt_issuer \"j\"",
        ),
        (
            with(&[(USER, "auth_method = \"iam\""), (LISTENER, TLS)]),
            "listener \"app\": \"iam\" with iam_verification = \"delegate\" shows the tokens of clients",
        ),
    ] {
        let told = only_problem(&text);
        assert!(told.contains(problem), "{told}\nshould say\n{problem}");
    }
}

#[test]
fn keys_policies_and_issuers_are_checked() {
    let text = |more: &str| with(&[]) + "\n" + more + "\n";
    for (more, problem) in [
        (
            format!("{}\n{POLICY}", KEY.replace("secret_access_key = \"x\"", "")),
            "is required",
        ),
        (
            format!("{}\n{POLICY}", KEY.replace("\"x\"", "\"\"")),
            "is empty",
        ),
        (
            format!("{}\n{POLICY}", KEY.replace("123456789012", "12345")),
            "must be the twelve digits of an AWS account",
        ),
        (
            format!("{}\n{POLICY}", KEY.replace("[\"all\"]", "[]")),
            "must name a policy",
        ),
        (KEY.to_owned(), "there is no iam_policy \"all\""),
        (
            format!("{KEY}\n{KEY}\n{POLICY}"),
            "`access_key_id`: another one has this name already",
        ),
        (POLICY.replace("\"Allow\"", "\"Maybe\""), "not a policy"),
        (
            POLICY.replace("\"Effect\"", "\"Condition\": {}, \"Effect\""),
            "statement 1: Condition is not supported",
        ),
        (
            "[[iam_policy]]\nname = \"x\"".to_owned(),
            "give either policy or policy_file",
        ),
        (
            ISSUER.replace("https", "http"),
            "is no URL of https, nor of http on this machine",
        ),
        (ISSUER.replace("[\"sluice\"]", "[]"), "must not be empty"),
        (
            format!("{ISSUER}\njwks_refresh = \"0s\""),
            "must be more than",
        ),
        (
            format!("{ISSUER}\njwks_file = \"empty\""),
            "not a JSON Web Key Set",
        ),
        (format!("{ISSUER}\nalgorithms = [\"HS256\"]"), "HS256"),
        ("[tokens]\ncache_size = 0".to_owned(), "must be at least 1"),
    ] {
        let told = only_problem(&text(&more));
        assert!(told.contains(problem), "{told}\nshould say\n{problem}");
    }
}

#[test]
fn secrets_are_not_shown() {
    let folder = super::Folder::new();
    let key = KEY
        .replace("\"x\"", "\"hush\"")
        .replace("account", "session_token = \"hush\"\naccount");
    let shown = folder.show(&format!("{}\n{key}\n{POLICY}\n", with(&[])));
    assert!(shown.contains("AKID") && !shown.contains("hush"), "{shown}");
}

#[test]
fn a_token_is_not_shown_to_the_server_for_another_name() {
    let iam = "auth_method = \"iam\"\niam_region = \"eu-west-1\"";
    let as_other = |listener_lines: &str, user_lines: &str| {
        let lines = format!("{TLS}\n{listener_lines}");
        let user = format!("server_user = \"other\"\n{user_lines}");
        with(&[(LISTENER, &lines), (GROUP, VERIFIED), (USER, &user)])
    };
    for text in [
        as_other(iam, ""),
        as_other("iam_region = \"eu-west-1\"", "auth_method = \"iam\""),
    ] {
        let told = only_problem(&text);
        assert!(
            told.contains(
                "user \"app\", `server_user`: cannot be given with iam_verification = \"delegate\""
            ),
            "{told}"
        );
    }
    // What Sluice judges by itself is good for whomever it is configured.
    let signature = format!("{iam}\niam_verification = \"signature\"");
    let text = format!("{}\n{KEY}\n{POLICY}\n", as_other(&signature, ""));
    load_text(&text).unwrap();
    // So is a name that is the same, and another way to prove who one is.
    load_text(&as_other(iam, "").replace("\"other\"", "\"app\"")).unwrap();
    load_text(&as_other(iam, "auth_method = \"scram-sha-256\"")).unwrap();
}
