//! What a server, a file or a secret says is stored about a user's password.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::auth::store::verifier;
use sluice::aws::RdsSecret;
use sluice::model::{Secret, Verifier};

fuzz_target!(|stored: &[u8]| {
    match verifier(&Secret::new(stored)) {
        Ok(Verifier::Scram(scram)) => {
            assert!(scram.iterations > 0);
            assert_eq!(scram.stored_key.expose().len(), 32);
            assert_eq!(scram.server_key.expose().len(), 32);
        }
        Ok(Verifier::Password(kept) | Verifier::Md5(kept)) => {
            assert!(!stored.is_empty());
            assert_eq!(kept.expose(), stored);
        }
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(secret) = RdsSecret::parse(stored) {
        assert!(!secret.password.expose().is_empty());
        assert!(secret.username.is_none_or(|name| !name.is_empty()));
    }
});
