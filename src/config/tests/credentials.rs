//! Where credentials towards servers come from: what files mean, and what is wrong with them.

use std::time::Duration;

use super::{Folder, GROUP, LEAST, USER, load_text, with};
use crate::auth::options::{Place, ServerAuth};
use crate::aws::options::IS_BUILT_IN;
use crate::model::AuthMethod;

const VERIFIED: &str = "server_auth_method = \"iam\"\nserver_tls_mode = \"verify-full\"";

#[track_caller]
fn told_with(changes: &[(&str, &str)], expected: &[&str]) {
    if IS_BUILT_IN {
        let problems = load_text(&with(changes)).unwrap_err();
        assert_eq!(problems, expected);
    }
}

#[test]
fn a_file_is_a_place_for_clients_and_server_unless_the_server_has_its_own() {
    let folder = Folder::new();
    let file = Place::File(folder.path().join("app.password").into());
    let user = |text: &str| (*folder.load(text).unwrap().users.user("app").unwrap()).clone();
    let app = user(LEAST);
    assert_eq!(app.password_place, Some(file.clone()));
    assert_eq!(app.server_place, Some(file.clone()));
    assert_eq!(app.server_auth, None);
    let app = user(&with(&[(USER, "server_password_env = \"CARGO_PKG_NAME\"")]));
    assert_eq!(app.password_place, Some(file.clone()));
    assert_eq!(app.server_place, None);
    assert_eq!(app.server_auth, Some(ServerAuth::Stored));
    // A server takes no hash.
    folder.write("app.password", super::SCRAM);
    let app = user(LEAST);
    assert_eq!((app.password_place, app.server_place), (Some(file), None));
}

#[test]
fn secrets_and_tokens_reach_the_plan() {
    if !IS_BUILT_IN {
        return;
    }
    let text = with(&[(USER, "server_secret_arn = \"orders\""), (GROUP, VERIFIED)]);
    let aws = "\n[aws]\nregion = \"eu-central-1\"\nsecret_refresh_interval = \"1m\"\n\
               [[secret]]\narn = \"billing\"\nauth_method = \"md5\"\n\
               [[user]]\nname = \"lambda\"\n\
               [[user]]\nname = \"shop\"\nsecret_arn = \"shop\"\n";
    let text = format!("{text}{aws}").replace(
        "address = \"db:5432\"",
        "address = \"db:5432\"\niam_endpoint = \"[::1]\"",
    );
    let plan = load_text(&text).unwrap();
    assert_eq!(plan.aws.options.region.as_deref(), Some("eu-central-1"));
    assert_eq!(plan.aws.options.secret_refresh, Duration::from_secs(60));
    let billing = &plan.aws.bringers[0];
    assert_eq!(
        (&*billing.secret, billing.auth_method),
        ("billing", Some(AuthMethod::Md5))
    );
    let group = &plan.groups[0];
    assert_eq!(group.server_auth, ServerAuth::Iam);
    let endpoint = group.topology.seeds[0].iam_endpoint.clone().unwrap();
    assert_eq!((&*endpoint.0, endpoint.1), ("::1", 5432));
    let app = plan.users.user("app").unwrap();
    assert_eq!(app.server_place, Some(Place::Secret("orders".into())));
    assert_eq!(app.server_auth, Some(ServerAuth::Stored));
    let lambda = plan.users.user("lambda").unwrap();
    assert_eq!((&lambda.server_place, lambda.server_auth), (&None, None));
    let shop = plan.users.user("shop").unwrap();
    assert_eq!(shop.password_place, Some(Place::Secret("shop".into())));
    assert_eq!(shop.server_place, shop.password_place);
}

#[test]
fn tokens_go_to_verified_servers_only() {
    told_with(
        &[(
            GROUP,
            "server_auth_method = \"iam\"\nserver_tls_mode = \"require\"",
        )],
        &[
            "sluice.toml:7:22: target_group \"main\", `server_auth_method`: whoever takes a token for the \
           server's may log in with it: target_group \"main\" needs server_tls_mode = \"verify-full\"",
        ],
    );
    told_with(
        &[(USER, "server_auth_method = \"iam\"")],
        &[
            "sluice.toml:14:22: user \"app\", `server_auth_method`: whoever takes a token for the \
           server's may log in with it: target_group \"main\" needs server_tls_mode = \"verify-full\"",
        ],
    );
}

#[test]
fn a_password_is_given_in_one_way() {
    told_with(
        &[(USER, "secret_arn = \"x\"")],
        &[
            "sluice.toml:14:14: user \"app\", `secret_arn`: give it in one way only: inline, _file, _env or a secret",
        ],
    );
    told_with(
        &[(
            USER,
            "server_password_env = \"CARGO_PKG_NAME\"\nserver_secret_arn = \"x\"",
        )],
        &[
            "sluice.toml:15:21: user \"app\", `server_secret_arn`: give it in one way only: inline, _file, _env or a secret",
        ],
    );
    told_with(
        &[(USER, "server_secret_arn = \"x\"\nserver_user = \"y\"")],
        &[
            "sluice.toml:15:15: user \"app\", `server_user`: cannot be given beside a secret, which has a name of its own",
        ],
    );
}

#[test]
fn aws_keys_are_checked() {
    let told = |end: &str, expected: &[&str]| {
        if IS_BUILT_IN {
            let problems = load_text(&format!("{LEAST}{end}")).unwrap_err();
            assert_eq!(problems, expected);
        }
    };
    told(
        "[aws]\nsecret_refresh_interval = \"10ms\"\n",
        &["sluice.toml:15:27: `aws.secret_refresh_interval`: must be at least \"1s\""],
    );
    told(
        "[[secret]]\narn = \"x\"\n[[secret]]\narn = \"x\"\n",
        &["sluice.toml:17:7: secret \"x\", `arn`: another one has this name already"],
    );
    told(
        "[[secret]]\narn = \"x\"\nauth_method = \"password\"\n",
        &[
            "sluice.toml:16:15: secret \"x\", `auth_method`: listener \"app\": \"password\" sends passwords in \
           the clear: it needs tls_cert_file and tls_key_file",
        ],
    );
    told(
        "[[secret]]\narn = \"\"\n",
        &["sluice.toml:15:7: `secret.arn`: must not be empty"],
    );
}

#[test]
fn what_asks_for_aws_is_refused_where_it_is_not_built_in() {
    if IS_BUILT_IN {
        return;
    }
    let absent = "this build of Sluice has no support for AWS (cargo feature \"aws\")";
    for text in [
        with(&[(GROUP, VERIFIED)]),
        with(&[(USER, "server_secret_arn = \"x\"")]),
        format!("{LEAST}[[secret]]\narn = \"x\"\n"),
    ] {
        let problems = load_text(&text).unwrap_err();
        assert!(problems[0].ends_with(absent), "{problems:?}");
    }
}

#[test]
fn what_is_shown_names_secrets_and_shows_none() {
    if !IS_BUILT_IN {
        return;
    }
    let folder = Folder::new();
    let shown = folder.show(&with(&[(USER, "server_secret_arn = \"orders\"")]));
    assert!(
        shown.contains("server_secret_arn = \"orders\"\n"),
        "{shown}"
    );
    assert!(!shown.contains("a secret"), "{shown}");
    // It says the same as the file.
    assert!(folder.load(&shown).is_ok(), "{shown}");
}
