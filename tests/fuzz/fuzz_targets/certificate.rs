//! A peer's certificate, where Sluice reads more of it than rustls does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::net::cert_facts::{common_name, end_point, expires_at};

fuzz_target!(|der: &[u8]| {
    if let Some(name) = common_name(der) {
        assert!(!name.is_empty() && !name.contains('\0'));
    }
    if let Some(hash) = end_point(der) {
        assert!(
            (28..=64).contains(&hash.len()),
            "a hash of the SHA-2 family"
        );
    }
    let _ = expires_at(der);
});
