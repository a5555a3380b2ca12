//! Tokens of other people's generators, and the law that nothing else is accepted.

use std::time::{Duration, SystemTime};

use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

use super::{AccessKey, Audience, KeyRing, MAX_TOKEN_LEN, Policy, Presign, Token};
use crate::auth::Refusal;
use crate::auth::verify::{Attempt, Delegated, Signed, TokenVerifier, Verdict};
use crate::model::Secret;

/// What the AWS documentation uses in examples.
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const SESSION: &str = "FwoGZXIvYXdzEBYaDH/+=session/token==";
const HOST: &str = "db.abc123.eu-central-1.rds.amazonaws.com";
const HARD_USER: &str = "per cent+@/user";
/// When the tokens below were made.
const ISSUED: &str = "2026-01-31T12:00:00Z";

/// `botocore` 1.44.8, a static key; `@aws-sdk/rds-signer` 3.1175.0 likewise; then both with
/// temporary credentials, capital letters in the host, and a user that must be encoded: botocore
/// signs the host in small letters.
const FOREIGN: [(&str, u16, &str); 4] = [
    (
        concat!(
            "db.abc123.eu-central-1.rds.amazonaws.com:5432/?",
            "Action=connect&",
            "DBUser=app&",
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&",
            "X-Amz-Credential=AKIDEXAMPLE%2F20260131%2Feu-central-1%2Frds-db%2Faws4_request&",
            "X-Amz-Date=20260131T120000Z&",
            "X-Amz-Expires=900&",
            "X-Amz-SignedHeaders=host&",
            "X-Amz-Signature=7c6c0110bfcb97f5101f18a96896dde4c74f58b67e0a538c0148a8c6d206370e",
        ),
        5432,
        "app",
    ),
    (
        concat!(
            "db.abc123.eu-central-1.rds.amazonaws.com:5432/?",
            "Action=connect&",
            "DBUser=app&",
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&",
            "X-Amz-Credential=AKIDEXAMPLE%2F20260131%2Feu-central-1%2Frds-db%2Faws4_request&",
            "X-Amz-Date=20260131T120000Z&",
            "X-Amz-Expires=900&",
            "X-Amz-Signature=7c6c0110bfcb97f5101f18a96896dde4c74f58b67e0a538c0148a8c6d206370e&",
            "X-Amz-SignedHeaders=host",
        ),
        5432,
        "app",
    ),
    (
        concat!(
            "DB.abc123.eu-central-1.rds.amazonaws.com:3306/?",
            "Action=connect&",
            "DBUser=per%20cent%2B%40%2Fuser&",
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&",
            "X-Amz-Credential=ASIDEXAMPLE%2F20260131%2Feu-central-1%2Frds-db%2Faws4_request&",
            "X-Amz-Date=20260131T120000Z&",
            "X-Amz-Expires=900&",
            "X-Amz-SignedHeaders=host&",
            "X-Amz-Security-Token=FwoGZXIvYXdzEBYaDH%2F%2B%3Dsession%2Ftoken%3D%3D&",
            "X-Amz-Signature=c2e1bf3d0d5853b50e2ad5f95d346654814504329e60c22f3cdce7e079294e7d",
        ),
        3306,
        HARD_USER,
    ),
    (
        concat!(
            "DB.abc123.eu-central-1.rds.amazonaws.com:3306/?",
            "Action=connect&",
            "DBUser=per%20cent%2B%40%2Fuser&",
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&",
            "X-Amz-Credential=ASIDEXAMPLE%2F20260131%2Feu-central-1%2Frds-db%2Faws4_request&",
            "X-Amz-Date=20260131T120000Z&",
            "X-Amz-Expires=900&",
            "X-Amz-Security-Token=FwoGZXIvYXdzEBYaDH%2F%2B%3Dsession%2Ftoken%3D%3D&",
            "X-Amz-Signature=58e5c14596e8fee0299c0db197324b58d1152584de06c46aa0e9b49ad847c8ac&",
            "X-Amz-SignedHeaders=host",
        ),
        3306,
        HARD_USER,
    ),
];

fn issued() -> SystemTime {
    humantime::parse_rfc3339(ISSUED).unwrap()
}

fn later(seconds: u64) -> SystemTime {
    issued() + Duration::from_secs(seconds)
}

fn keys(policy: &str) -> KeyRing {
    let key = |session: Option<&str>| AccessKey {
        secret: Secret::new(SECRET),
        session_token: session.map(Secret::new),
        account: "123456789012".into(),
        policies: vec![Policy::parse(policy).unwrap().into()],
    };
    KeyRing::new([
        ("AKIDEXAMPLE".into(), key(None)),
        ("ASIDEXAMPLE".into(), key(Some(SESSION))),
    ])
}

fn verifier_at(port: u16) -> Signed {
    Signed {
        audience: Audience::new([(HOST, port)], "eu-central-1", Duration::from_secs(60)),
        keys: keys(
            r#"{"Statement":{"Effect":"Allow","Action":"rds-db:connect","Resource":"arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-ABC/*"}}"#,
        ),
        resource: "db-ABC".into(),
    }
}

fn verify(token: &[u8], port: u16, user: &str, now: SystemTime) -> Result<Verdict, Refusal> {
    let token = &Secret::new(token);
    verifier_at(port).verify(Attempt { user, token }, now)
}

fn ours(user: &str, host: &str, session: bool) -> String {
    let (secret, session_token) = (Secret::new(SECRET), Secret::new(SESSION));
    let token = Presign {
        host,
        port: 5432,
        user,
        region: "eu-central-1",
        access_key_id: if session {
            "ASIDEXAMPLE"
        } else {
            "AKIDEXAMPLE"
        },
        secret_access_key: &secret,
        session_token: session.then_some(&session_token),
        issued: issued(),
        life: Duration::from_secs(900),
    };
    String::from_utf8(token.token().unwrap().expose().to_vec()).unwrap()
}

#[test]
fn tokens_of_other_generators_are_accepted() {
    for (token, port, user) in FOREIGN {
        for now in [issued(), later(899)] {
            let verdict = verify(token.as_bytes(), port, user, now);
            assert_eq!(
                verdict,
                Ok(Verdict::Accepted { until: later(900) }),
                "{token}"
            );
        }
    }
}

#[test]
fn ours_is_the_very_token_that_botocore_makes() {
    // That of JavaScript has the same parts in another order.
    let sorted = |token: &str| {
        let (place, query) = token.split_once("/?").unwrap();
        let mut parts: Vec<&str> = query.split('&').collect();
        parts.sort_unstable();
        format!("{place}/?{}", parts.join("&"))
    };
    assert_eq!(sorted(&ours("app", HOST, false)), sorted(FOREIGN[0].0));
}

#[test]
fn another_time_place_region_or_user_is_refused() {
    let (token, port, user) = FOREIGN[0];
    let judged = |port, user, now| verify(token.as_bytes(), port, user, now);
    assert_eq!(judged(port, user, later(900)), Err(Refusal::Expired));
    assert!(judged(port, user, issued() - Duration::from_secs(60)).is_ok());
    let early = issued() - Duration::from_secs(61);
    assert_eq!(judged(port, user, early), Err(Refusal::NotYetValid));
    assert_eq!(judged(3306, user, issued()), Err(Refusal::WrongPort));
    assert_eq!(judged(port, "App", issued()), Err(Refusal::WrongUser));
    assert_eq!(judged(port, "", issued()), Err(Refusal::WrongUser));
    let mut other = verifier_at(port);
    other.audience = Audience::new(
        [("other.example.com", port)],
        "eu-central-1",
        Duration::ZERO,
    );
    let token = &Secret::new(token);
    let attempt = Attempt { user, token };
    assert_eq!(other.verify(attempt, issued()), Err(Refusal::WrongHost));
    other.audience = Audience::new([(HOST, port)], "eu-central-2", Duration::ZERO);
    assert_eq!(other.verify(attempt, issued()), Err(Refusal::WrongRegion));
    let mut other = verifier_at(port);
    other.keys = KeyRing::default();
    assert_eq!(other.verify(attempt, issued()), Err(Refusal::UnknownKey));
    other.keys = keys(r#"{"Statement":[]}"#);
    assert_eq!(
        other.verify(attempt, issued()),
        Err(Refusal::RefusedByPolicy)
    );
}

#[test]
fn a_session_token_belongs_to_its_key() {
    for (token, wrong) in [
        (
            ours("app", HOST, true),
            SESSION.replace("session", "another"),
        ),
        (ours("app", HOST, false), String::new()),
    ] {
        let mut verifier = verifier_at(5432);
        let key = |session: &str| AccessKey {
            secret: Secret::new(SECRET),
            session_token: Some(Secret::new(session)),
            account: "123456789012".into(),
            policies: Vec::new(),
        };
        verifier.keys = KeyRing::new([
            ("AKIDEXAMPLE".into(), key(&wrong)),
            ("ASIDEXAMPLE".into(), key(&wrong)),
        ]);
        let token = &Secret::new(token);
        let attempt = Attempt { user: "app", token };
        assert_eq!(
            verifier.verify(attempt, issued()),
            Err(Refusal::BadSignature)
        );
    }
}

#[test]
fn what_is_not_just_so_is_refused() {
    let good = FOREIGN[0].0;
    assert!(Token::parse(&Secret::new(good)).is_ok());
    for (from, to, refusal) in [
        ("Action=connect", "Action=Connect", Refusal::WrongAction),
        (
            "Action=connect",
            "Action=connect&Action=connect",
            Refusal::Malformed,
        ),
        (
            "Action=connect",
            "Action=connect&Version=1",
            Refusal::Malformed,
        ),
        ("Action=connect&", "", Refusal::Malformed),
        ("Action=connect", "&Action=connect", Refusal::Malformed),
        ("DBUser=app", "DBUser=app&DBUser=root", Refusal::Malformed),
        ("DBUser=app", "DBUser=", Refusal::Malformed),
        ("DBUser=app", "DBUser=a%", Refusal::Malformed),
        ("DBUser=app", "DBUser=a%2", Refusal::Malformed),
        ("DBUser=app", "DBUser=%FF", Refusal::Malformed),
        (
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA1",
            Refusal::WrongAlgorithm,
        ),
        (
            "SignedHeaders=host",
            "SignedHeaders=host%3Bdate",
            Refusal::WrongAlgorithm,
        ),
        ("rds-db%2F", "rds%2F", Refusal::WrongService),
        ("aws4_request", "aws5_request", Refusal::Malformed),
        ("AKIDEXAMPLE%2F", "%2F", Refusal::Malformed),
        ("%2F20260131%2F", "%2F20260130%2F", Refusal::Malformed),
        ("20260131T120000Z", "20260131T250000Z", Refusal::Malformed),
        ("20260131T120000Z", "20260131T120000", Refusal::Malformed),
        ("Expires=900", "Expires=901", Refusal::LivesTooLong),
        ("Expires=900", "Expires=0", Refusal::Malformed),
        ("Expires=900", "Expires=0900", Refusal::Malformed),
        ("Expires=900", "Expires=%2B900", Refusal::Malformed),
        (
            "Expires=900",
            "Expires=99999999999999999999",
            Refusal::Malformed,
        ),
        (":5432/", ":05432/", Refusal::Malformed),
        (":5432/", ":70000/", Refusal::Malformed),
        (":5432/", ":/", Refusal::Malformed),
        (":5432/", "/", Refusal::Malformed),
        ("db.abc123", "user@db.abc123", Refusal::Malformed),
        ("db.abc123", "https://db.abc123", Refusal::Malformed),
        ("/?", "?", Refusal::Malformed),
        ("X-Amz-Date=", "x-amz-date=", Refusal::Malformed),
        ("206370e", "206370E", Refusal::BadSignature),
        ("206370e", "206370", Refusal::BadSignature),
    ] {
        let changed = good.replace(from, to);
        assert_ne!(changed, good, "{from}");
        let parsed = Token::parse(&Secret::new(changed.clone()));
        assert_eq!(parsed.err(), Some(refusal), "{changed}");
    }
    let padded = |len: usize| {
        let padding = "x".repeat(len - good.len());
        Secret::new(good.replace("DBUser=app", &format!("DBUser=app{padding}")))
    };
    assert!(Token::parse(&padded(MAX_TOKEN_LEN)).is_ok());
    let long = Token::parse(&padded(MAX_TOKEN_LEN + 1));
    assert_eq!(long.err(), Some(Refusal::TooLong));
}

/// Any token of ours, and one of every other generator.
fn tokens() -> impl Strategy<Value = (String, u16, String)> {
    let foreign = (0..FOREIGN.len()).prop_map(|n| {
        let (token, port, user) = FOREIGN[n];
        (token.to_owned(), port, user.to_owned())
    });
    let hosts = prop_oneof![Just(HOST), Just("DB.abc123.eu-central-1.rds.amazonaws.com")];
    let own = ("[ -~äß]{1,24}", hosts, any::<bool>())
        .prop_map(|(user, host, session)| (ours(&user, host, session), 5432, user));
    prop_oneof![foreign, own]
}

/// True if two tokens that differ in one byte say the same: the hexadecimal digits of an escape may
/// be capitals or not (RFC 3986, section 2.1), and so may the letters of a host name (section
/// 3.2.2). The latter only where the token is signed for the name in small letters, as botocore
/// does.
fn is_equivalent(token: &str, at: usize) -> bool {
    let place = token.find("/?").unwrap();
    at < place || token.as_bytes()[at - 1] == b'%' || token.as_bytes()[at - 2] == b'%'
}

proptest! {
    #[test]
    fn no_altered_byte_is_accepted((token, port, user) in tokens(), at: usize, byte: u8) {
        prop_assert!(verify(token.as_bytes(), port, &user, issued()).is_ok());
        let at = at % token.len();
        let mut altered = token.clone().into_bytes();
        altered[at] = byte;
        if altered == token.as_bytes() {
            return Ok(());
        }
        let verdict = verify(&altered, port, &user, issued());
        let only_case = altered[at].eq_ignore_ascii_case(&token.as_bytes()[at]);
        if only_case && is_equivalent(&token, at) {
            // May be accepted, then for the same user at the same place.
            return Ok(());
        }
        prop_assert!(verdict.is_err(), "{}", String::from_utf8_lossy(&altered));
        // Not that the database is asked about it, unless only the signature is wrong.
        let delegated = Delegated { audience: verifier_at(port).audience };
        let altered = &Secret::new(altered);
        if let Ok(parsed) = Token::parse(altered)
            && delegated.verify(Attempt { user: &user, token: altered }, issued()).is_ok()
        {
            prop_assert_eq!(parsed.user, user);
            prop_assert_eq!(parsed.port, port);
        }
    }

    #[test]
    fn no_shortened_or_lengthened_token_is_accepted(
        (token, port, user) in tokens(), cut: usize, more in "[ -~]{1,3}"
    ) {
        let cut = cut % token.len();
        prop_assert!(verify(&token.as_bytes()[..cut], port, &user, issued()).is_err());
        prop_assert!(verify(&token.as_bytes()[cut + 1..], port, &user, issued()).is_err());
        let longer = [token.as_bytes(), more.as_bytes()].concat();
        prop_assert!(verify(&longer, port, &user, issued()).is_err());
    }

    #[test]
    fn nobody_else_is_accepted(
        (token, port, user) in tokens(), other in "[ -~äß]{0,24}", offset in 1_u16.., seconds: u32
    ) {
        let judged = |port, user: &str, now| verify(token.as_bytes(), port, user, now);
        if other != user {
            prop_assert_eq!(judged(port, &other, issued()), Err(Refusal::WrongUser));
        }
        let elsewhere = port.wrapping_add(offset);
        prop_assert_eq!(judged(elsewhere, &user, issued()), Err(Refusal::WrongPort));
        let past = issued() - Duration::from_secs(61 + u64::from(seconds) % 1_000_000_000);
        prop_assert_eq!(judged(port, &user, past), Err(Refusal::NotYetValid));
        prop_assert_eq!(judged(port, &user, later(900 + u64::from(seconds))), Err(Refusal::Expired));
    }

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, user in "[a-z]{0,4}") {
        prop_assert!(verify(&bytes, 5432, &user, issued()).is_err());
    }
}
