//! Tokens of an issuer of the tests, and the law that nothing else is accepted.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::{EncodingKey, Header, encode};
use proptest::prelude::{prop_assert, proptest};
use serde_json::{Value, json};

use super::{Algorithm, Issued, Issuer, KeySet, KeySetError};
use crate::auth::Refusal;
use crate::auth::options::{IssuerOptions, KeySource};
use crate::auth::verify::{Attempt, TokenVerifier, Verdict};
use crate::model::Secret;

const NOW: u64 = 1_800_000_000;

struct Keys {
    private: EncodingKey,
    public: Value,
    algorithm: jsonwebtoken::Algorithm,
}

/// A fresh key of rcgen's, which knows all of the kinds but writes no RFC 7517.
fn ec(kid: &str, p384: bool) -> Keys {
    let (kind, algorithm, curve, name) = if p384 {
        (
            &rcgen::PKCS_ECDSA_P384_SHA384,
            jsonwebtoken::Algorithm::ES384,
            "P-384",
            "ES384",
        )
    } else {
        (
            &rcgen::PKCS_ECDSA_P256_SHA256,
            jsonwebtoken::Algorithm::ES256,
            "P-256",
            "ES256",
        )
    };
    let pair = rcgen::KeyPair::generate_for(kind).unwrap();
    let point = rcgen::PublicKeyData::der_bytes(&pair).to_vec();
    let (x, y) = point[1..].split_at(point.len() / 2);
    let text = |bytes: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    };
    Keys {
        private: EncodingKey::from_ec_der(&pair.serialize_der()),
        public: json!({"kty": "EC", "crv": curve, "kid": kid, "use": "sig", "alg": name, "x": text(x), "y": text(y)}),
        algorithm,
    }
}

fn key_set(keys: &[&Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn options() -> IssuerOptions {
    IssuerOptions {
        name: "test".into(),
        issuer: "https://issuer.example.com".into(),
        audiences: vec!["sluice".into(), "other".into()],
        keys: KeySource::Given(Arc::default()),
        algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384],
        user_claim: "sub".into(),
        users: Vec::new(),
        required_claims: Vec::new(),
        max_token_life: Duration::from_secs(3600),
        clock_skew: Duration::from_secs(60),
    }
}

fn issued(options: IssuerOptions, keys: KeySet) -> Issued {
    Issued {
        issuers: vec![Issuer {
            options: Arc::new(options),
            keys: Arc::new(keys),
        }],
    }
}

fn claims() -> Value {
    json!({"iss": "https://issuer.example.com", "aud": "sluice", "sub": "app", "iat": NOW, "exp": NOW + 600})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn token(keys: &Keys, kid: Option<&str>, claims: &Value) -> String {
    let header = Header {
        kid: kid.map(Into::into),
        ..Header::new(keys.algorithm)
    };
    encode(&header, claims, &keys.private).unwrap()
}

fn judge(issued: &Issued, token: &str, user: &str) -> Result<Verdict, Refusal> {
    let token = &Secret::new(token);
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    issued.verify(Attempt { user, token }, now)
}

#[test]
fn a_good_token_is_accepted_until_it_expires() {
    for p384 in [false, true] {
        let keys = ec("a", p384);
        let issued = issued(options(), key_set(&[&keys.public]));
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW + 600);
        for kid in [Some("a"), None] {
            let token = token(&keys, kid, &claims());
            assert_eq!(
                judge(&issued, &token, "app"),
                Ok(Verdict::Accepted { until })
            );
            assert_eq!(judge(&issued, &token, "root"), Err(Refusal::WrongSubject));
        }
    }
}

#[test]
fn every_claim_counts() {
    let keys = ec("a", false);
    let issued = issued(options(), key_set(&[&keys.public]));
    for (name, value, refusal) in [
        (
            "iss",
            json!("https://other.example.com"),
            Refusal::WrongIssuer,
        ),
        ("iss", Value::Null, Refusal::WrongIssuer),
        ("aud", json!("somebody"), Refusal::WrongAudience),
        ("aud", json!(["somebody"]), Refusal::WrongAudience),
        ("aud", Value::Null, Refusal::WrongAudience),
        ("exp", json!(NOW), Refusal::Expired),
        ("exp", Value::Null, Refusal::Malformed),
        ("exp", json!("soon"), Refusal::Malformed),
        ("exp", json!(-1), Refusal::Malformed),
        ("exp", json!(1e300), Refusal::Malformed),
        ("exp", json!(NOW + 3601), Refusal::LivesTooLong),
        ("iat", json!(NOW + 61), Refusal::NotYetValid),
        ("iat", json!(NOW - 3100), Refusal::LivesTooLong),
        ("nbf", json!(NOW + 61), Refusal::NotYetValid),
        ("sub", json!("App"), Refusal::WrongSubject),
        ("sub", json!(["app"]), Refusal::Malformed),
        ("sub", Value::Null, Refusal::WrongSubject),
    ] {
        let token = token(&keys, Some("a"), &with(name, value.clone()));
        assert_eq!(
            judge(&issued, &token, "app"),
            Err(refusal),
            "{name} {value}"
        );
    }
    for (name, value) in [
        ("aud", json!(["somebody", "other"])),
        ("nbf", json!(NOW + 59)),
        ("iat", Value::Null),
        ("exp", json!(NOW as f64 + 0.5)),
    ] {
        let token = token(&keys, Some("a"), &with(name, value.clone()));
        assert!(judge(&issued, &token, "app").is_ok(), "{name} {value}");
    }
}

#[test]
fn claims_are_mapped_to_users() {
    let keys = ec("a", false);
    let options = IssuerOptions {
        user_claim: "groups".into(),
        users: vec![
            ("shop-*".into(), vec!["shop".into(), "shop_ro".into()]),
            ("admins".into(), vec!["root".into()]),
        ],
        required_claims: vec![("env".into(), "prod".into())],
        ..options()
    };
    let issued = issued(options, key_set(&[&keys.public]));
    let mut claims = with("groups", json!(["x", "shop-eu"]));
    claims["env"] = json!("prod");
    let good = token(&keys, Some("a"), &claims);
    assert!(judge(&issued, &good, "shop").is_ok());
    assert!(judge(&issued, &good, "shop_ro").is_ok());
    for user in ["root", "app", "shop-eu", "x", ""] {
        assert_eq!(
            judge(&issued, &good, user),
            Err(Refusal::WrongSubject),
            "{user}"
        );
    }
    claims["env"] = json!("test");
    let test = token(&keys, Some("a"), &claims);
    assert_eq!(judge(&issued, &test, "shop"), Err(Refusal::WrongSubject));
}

#[test]
fn an_unknown_key_is_asked_for_and_a_wrong_one_refused() {
    let (one, other) = (ec("a", false), ec("b", false));
    let issued = issued(options(), key_set(&[&one.public, &other.public]));
    let judged = |keys, kid| judge(&issued, &token(keys, kid, &claims()), "app");
    assert!(judged(&one, Some("a")).is_ok());
    assert_eq!(judged(&other, Some("a")), Err(Refusal::BadSignature));
    assert_eq!(judged(&one, Some("c")), Ok(Verdict::AskIssuer));
    // Of several keys, one must be named.
    assert_eq!(judged(&one, None), Ok(Verdict::AskIssuer));
}

#[test]
fn a_key_is_good_for_its_own_algorithm_only() {
    let keys = ec("a", false);
    let only_rsa = IssuerOptions {
        algorithms: vec![Algorithm::Rs256],
        ..options()
    };
    let set = || key_set(&[&keys.public]);
    let good = token(&keys, Some("a"), &claims());
    let judged = judge(&issued(only_rsa, set()), &good, "app");
    assert_eq!(judged, Err(Refusal::WrongAlgorithm));
    let issued = issued(options(), set());
    // The public key as a shared secret, and another curve.
    let forged = encode(
        &Header {
            kid: Some("a".into()),
            ..Header::new(jsonwebtoken::Algorithm::HS256)
        },
        &claims(),
        &EncodingKey::from_secret(keys.public.to_string().as_bytes()),
    );
    assert_eq!(
        judge(&issued, &forged.unwrap(), "app"),
        Err(Refusal::WrongAlgorithm)
    );
    let longer = token(&ec("a", true), Some("a"), &claims());
    assert_eq!(judge(&issued, &longer, "app"), Err(Refusal::WrongAlgorithm));
    // None at all: `{"alg":"none"}`.
    let (_, rest) = good.split_once('.').unwrap();
    let none = format!("eyJhbGciOiJub25lIn0.{}.", rest.split('.').next().unwrap());
    assert_eq!(judge(&issued, &none, "app"), Err(Refusal::Malformed));
}

#[test]
fn keys_for_something_else_are_left_out() {
    let mut sealing = ec("a", false).public;
    sealing["use"] = json!("enc");
    let mut wrong = ec("b", false).public;
    wrong["alg"] = json!("ES384");
    let mut edwards = ec("c", false).public;
    edwards["crv"] = json!("P-521");
    let secret = json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"});
    let keys = json!({ "keys": [sealing, wrong, edwards, secret, 1, "x", {}] });
    let parsed = KeySet::parse(keys.to_string().as_bytes());
    assert_eq!(parsed.err(), Some(KeySetError::Empty));
    assert!(matches!(KeySet::parse(b"[]"), Err(KeySetError::Shape(_))));
}

proptest! {
    #[test]
    fn no_altered_byte_is_accepted(at: usize, byte: u8) {
        let keys = ec("a", false);
        let issued = issued(options(), key_set(&[&keys.public]));
        let good = token(&keys, Some("a"), &claims()).into_bytes();
        let at = at % good.len();
        let mut altered = good.clone();
        altered[at] = byte;
        if altered != good {
            let token = &Secret::new(altered);
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
            let verdict = issued.verify(Attempt { user: "app", token }, now);
            // Another key's name, if that is what was altered.
            let accepted = matches!(verdict, Ok(Verdict::Accepted { .. }));
            prop_assert!(!accepted);
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, text in "[a-zA-Z0-9_-]{0,40}\\.[a-zA-Z0-9_-]{0,40}\\.[a-zA-Z0-9_-]{0,10}") {
        let keys = ec("a", false);
        let issued = issued(options(), key_set(&[&keys.public]));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        for token in [Secret::new(bytes), Secret::new(text)] {
            let verdict = issued.verify(Attempt { user: "app", token: &token }, now);
            prop_assert!(verdict.is_err());
        }
    }
}
