//! What a client shows in place of a password: an IAM database token or a JSON Web Token; and the
//! documents that they are judged by.
#![no_main]

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use sluice::auth::iam::{AccessKey, Audience, KeyRing, Policy, Token};
use sluice::auth::jwt::{Algorithm, Issued, Issuer, KeySet};
use sluice::auth::options::{IssuerOptions, KeySource};
use sluice::auth::verify::{Attempt, Signed, TokenVerifier};
use sluice::model::Secret;

const HOST: &str = "db.abc123.eu-central-1.rds.amazonaws.com";
const JWKS: &[u8] = br#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "1",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

fuzz_target!(|bytes: &[u8]| {
    // 2026-01-31T12:00:00Z, when the seeds were made.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_769_860_800);
    let token = &Secret::new(bytes);
    let attempt = Attempt { user: "app", token };
    let parsed = Token::parse(token);
    let key = AccessKey {
        secret: Secret::new("a key that nobody guesses"),
        session_token: None,
        account: "123456789012".into(),
        policies: vec![Policy::parse(r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#).unwrap().into()],
    };
    let signed = Signed {
        audience: Audience::new([(HOST, 5432)], "eu-central-1", Duration::from_secs(60)),
        keys: KeyRing::new([("AKIDEXAMPLE".into(), key)]),
        resource: "db-ABC".into(),
    };
    let verdict = signed.verify(attempt, now);
    assert!(verdict.is_err(), "nobody gets in");
    if let Ok(parsed) = parsed {
        assert!(bytes.len() <= 16 * 1024);
        assert!(!parsed.user.is_empty() && !parsed.access_key_id.is_empty());
        assert!(parsed.life <= Duration::from_secs(900));
        assert_eq!(parsed.signature.expose().len(), 64);
    }
    let issued = Issued {
        issuers: vec![Issuer {
            options: Arc::new(IssuerOptions {
                name: "test".into(),
                issuer: "https://issuer.example.com".into(),
                audiences: vec!["sluice".into()],
                keys: KeySource::Given(Arc::default()),
                algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384],
                user_claim: "sub".into(),
                users: Vec::new(),
                required_claims: Vec::new(),
                max_token_life: Duration::from_secs(3600),
                clock_skew: Duration::ZERO,
            }),
            keys: Arc::new(KeySet::parse(JWKS).unwrap()),
        }],
    };
    let accepted = matches!(issued.verify(attempt, now), Ok(sluice::auth::Verdict::Accepted { .. }));
    assert!(!accepted, "nobody gets in");
    let _ = KeySet::parse(bytes);
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(policy) = Policy::parse(text)
    {
        let arn = "arn:aws:rds-db:eu-central-1:123456789012:dbuser:db-ABC/app";
        let _ = sluice::auth::iam::policy::allows([&policy], arn);
    }
});
