//! Keys in cancel requests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::protocol::postgres::cancel::{CancelKey, request};

fuzz_target!(|body: &[u8]| {
    let Some(key) = CancelKey::parse(body) else {
        return;
    };
    assert_eq!(key.secret().len() + 4, body.len());
    let wire = request(key.pid(), key.secret());
    assert_eq!(&wire[8..], body);
    assert_eq!(
        wire[..4],
        u32::try_from(wire.len()).unwrap_or(0).to_be_bytes()
    );
    assert_eq!(CancelKey::parse(&wire[8..]), Some(key));
});
