//! The fields of an error message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice::protocol::postgres::message::{error_fields, server_error};

fuzz_target!(|body: &[u8]| {
    let fields = error_fields(body);
    assert!(!fields.code.is_empty());
    let wire = [&b"E\0\0\0\0"[..], body].concat();
    let error = server_error(wire.clone().into());
    assert_eq!(error.code, fields.code);
    assert_eq!(error.message, fields.message);
    assert_eq!(error.wire, wire);
});
