//! The messages that Sluice writes itself, in both roles, and the error message it reads
//! (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
//!
//! Relayed messages are not built here: they pass through untouched.

use std::borrow::Cow;

use bytes::Bytes;

use super::frame::HEADER_LEN;
use crate::model::TxStatus;
use crate::protocol::ServerError;
use crate::protocol::bytes::{Reader, Sink, put_counted, put_cstr};

/// Type byte of authentication requests.
pub const AUTHENTICATION: u8 = b'R';
/// Type byte of `BackendKeyData`.
pub const BACKEND_KEY_DATA: u8 = b'K';
/// Type byte of `ErrorResponse`.
pub const ERROR_RESPONSE: u8 = b'E';
/// Type byte of `NegotiateProtocolVersion`.
pub const NEGOTIATE_PROTOCOL_VERSION: u8 = b'v';
/// Type byte of `NoticeResponse`.
pub const NOTICE_RESPONSE: u8 = b'N';
/// Type byte of `ParameterStatus`.
pub const PARAMETER_STATUS: u8 = b'S';
/// Type byte of `ReadyForQuery`.
pub const READY_FOR_QUERY: u8 = b'Z';
/// Type byte of what a client answers to an authentication request: `PasswordMessage`,
/// `SASLInitialResponse`, `SASLResponse`.
pub const PASSWORD: u8 = b'p';

/// Appends one message: its type, its length, and what `body` writes.
pub fn put<B: Sink>(out: &mut B, kind: u8, body: impl FnOnce(&mut B)) {
    out.put_u8(kind);
    put_counted(out, body);
}

/// How bad an error or notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed; the session goes on.
    Error,
    /// The session ends.
    Fatal,
    /// Something to know; nothing failed.
    Notice,
    /// Something to know and to mend; nothing failed.
    Warning,
}

impl Severity {
    /// The untranslated word that goes on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
        }
    }
}

/// What `ErrorResponse` and `NoticeResponse` say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report<'a> {
    /// How bad it is.
    pub severity: Severity,
    /// SQLSTATE, five characters.
    pub code: &'a str,
    /// One sentence.
    pub message: &'a str,
    /// More about it.
    pub detail: Option<&'a str>,
    /// What to do about it.
    pub hint: Option<&'a str>,
}

impl<'a> Report<'a> {
    /// A report without detail and hint.
    pub const fn new(severity: Severity, code: &'a str, message: &'a str) -> Self {
        Self {
            severity,
            code,
            message,
            detail: None,
            hint: None,
        }
    }
}

/// `ErrorResponse`.
pub fn error_response<B: Sink>(out: &mut B, report: &Report<'_>) {
    put(out, ERROR_RESPONSE, |out| put_report(out, report));
}

/// `NoticeResponse`.
pub fn notice_response<B: Sink>(out: &mut B, report: &Report<'_>) {
    put(out, NOTICE_RESPONSE, |out| put_report(out, report));
}

fn put_report<B: Sink>(out: &mut B, report: &Report<'_>) {
    // https://www.postgresql.org/docs/current/protocol-error-fields.html; S may be translated,
    // V never is, and is absent before PostgreSQL 9.6.
    let fields = [
        (b'S', Some(report.severity.as_str())),
        (b'V', Some(report.severity.as_str())),
        (b'C', Some(report.code)),
        (b'M', Some(report.message)),
        (b'D', report.detail),
        (b'H', report.hint),
    ];
    for (kind, text) in fields {
        if let Some(text) = text {
            out.put_u8(kind);
            put_cstr(out, text.as_bytes());
        }
    }
    out.put_u8(0);
}

/// `ParameterStatus`.
pub fn parameter_status<B: Sink>(out: &mut B, name: &str, value: &[u8]) {
    put(out, PARAMETER_STATUS, |out| {
        put_cstr(out, name.as_bytes());
        put_cstr(out, value);
    });
}

/// `BackendKeyData`.
pub fn backend_key_data<B: Sink>(out: &mut B, pid: u32, secret: &[u8]) {
    put(out, BACKEND_KEY_DATA, |out| {
        out.put_u32(pid);
        out.put_slice(secret);
    });
}

/// CommandComplete.
pub fn command_complete<B: Sink>(out: &mut B, tag: &str) {
    put(out, b'C', |out| {
        out.put_slice(tag.as_bytes());
        out.put_u8(0);
    });
}

/// `ReadyForQuery`.
pub fn ready_for_query<B: Sink>(out: &mut B, status: TxStatus) {
    let byte = match status {
        TxStatus::Idle => b'I',
        TxStatus::Open => b'T',
        TxStatus::Failed => b'E',
    };
    put(out, READY_FOR_QUERY, |out| out.put_u8(byte));
}

/// `NegotiateProtocolVersion`: the newest version we speak of the one that was asked for, and
/// the protocol options we do not know. `version` is major and minor in one number: that is what
/// PostgreSQL sends and libpq reads, though the documentation speaks of the minor version.
pub fn negotiate_protocol_version<B: Sink>(out: &mut B, version: u32, unknown: &[&[u8]]) {
    put(out, NEGOTIATE_PROTOCOL_VERSION, |out| {
        out.put_u32(version);
        out.put_u32(u32::try_from(unknown.len()).unwrap_or(u32::MAX));
        for name in unknown {
            put_cstr(out, name);
        }
    });
}

/// `AuthenticationOk`.
pub fn authentication_ok<B: Sink>(out: &mut B) {
    authentication(out, auth::OK, |_| {});
}

/// `AuthenticationCleartextPassword`.
pub fn authentication_cleartext<B: Sink>(out: &mut B) {
    authentication(out, auth::CLEARTEXT, |_| {});
}

/// `AuthenticationMD5Password`.
pub fn authentication_md5<B: Sink>(out: &mut B, salt: [u8; 4]) {
    authentication(out, auth::MD5, |out| out.put_slice(&salt));
}

/// `AuthenticationSASL`, offering `mechanisms` in order of preference.
pub fn authentication_sasl<B: Sink>(out: &mut B, mechanisms: &[&str]) {
    authentication(out, auth::SASL, |out| {
        for name in mechanisms {
            put_cstr(out, name.as_bytes());
        }
        out.put_u8(0);
    });
}

/// `AuthenticationSASLContinue`.
pub fn authentication_sasl_continue<B: Sink>(out: &mut B, data: &[u8]) {
    authentication(out, auth::SASL_CONTINUE, |out| out.put_slice(data));
}

/// `AuthenticationSASLFinal`.
pub fn authentication_sasl_final<B: Sink>(out: &mut B, data: &[u8]) {
    authentication(out, auth::SASL_FINAL, |out| out.put_slice(data));
}

fn authentication<B: Sink>(out: &mut B, code: i32, body: impl FnOnce(&mut B)) {
    put(out, AUTHENTICATION, |out| {
        out.put_i32(code);
        body(out);
    });
}

/// Codes of authentication requests.
pub mod auth {
    /// The login succeeded.
    pub const OK: i32 = 0;
    /// The password, as it is.
    pub const CLEARTEXT: i32 = 3;
    /// The password, hashed with a salt.
    pub const MD5: i32 = 5;
    /// Choose a SASL mechanism.
    pub const SASL: i32 = 10;
    /// A SASL challenge.
    pub const SASL_CONTINUE: i32 = 11;
    /// The outcome of a SASL exchange.
    pub const SASL_FINAL: i32 = 12;
}

/// `ParseComplete`.
pub fn parse_complete<B: Sink>(out: &mut B) {
    put(out, b'1', |_| {});
}

/// `CloseComplete`.
pub fn close_complete<B: Sink>(out: &mut B) {
    put(out, b'3', |_| {});
}

/// `Query`, the simple protocol.
pub fn query<B: Sink>(out: &mut B, sql: &str) {
    put(out, b'Q', |out| put_cstr(out, sql.as_bytes()));
}

/// `PasswordMessage`; also the MD5 answer.
pub fn password<B: Sink>(out: &mut B, password: &[u8]) {
    put(out, PASSWORD, |out| put_cstr(out, password));
}

/// `SASLInitialResponse`.
pub fn sasl_initial_response<B: Sink>(out: &mut B, mechanism: &str, data: &[u8]) {
    put(out, PASSWORD, |out| {
        put_cstr(out, mechanism.as_bytes());
        out.put_i32(i32::try_from(data.len()).unwrap_or(i32::MAX));
        out.put_slice(data);
    });
}

/// `SASLResponse`.
pub fn sasl_response<B: Sink>(out: &mut B, data: &[u8]) {
    put(out, PASSWORD, |out| out.put_slice(data));
}

/// What was read of an `ErrorResponse` or `NoticeResponse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    /// Severity, untranslated where the server says so; empty if it said none.
    pub severity: Cow<'a, str>,
    /// SQLSTATE; [`UNKNOWN_CODE`] if the server said none.
    pub code: Cow<'a, str>,
    /// The sentence; empty if the server said none.
    pub message: Cow<'a, str>,
}

/// What stands for a missing SQLSTATE: `internal_error`.
pub const UNKNOWN_CODE: &str = "XX000";

/// Reads the body of an `ErrorResponse` or `NoticeResponse`. Fields that are absent or cut short
/// are taken for missing: a pooler that relied on SQLSTATE was crashed by a server without it
/// (CVE-2026-6666).
pub fn error_fields(body: &[u8]) -> Fields<'_> {
    let mut reader = Reader::new(body);
    let (mut shown, mut plain, mut code, mut message) = (None, None, None, None);
    while let Some(kind) = reader.u8() {
        if kind == 0 {
            break;
        }
        let Some(text) = reader.cstr() else { break };
        match kind {
            b'S' => shown = Some(text),
            b'V' => plain = Some(text),
            b'C' => code = Some(text),
            b'M' => message = Some(text),
            _ => {}
        }
    }
    Fields {
        severity: text(plain.or(shown)),
        code: text(
            code.filter(|code| !code.is_empty())
                .or(Some(UNKNOWN_CODE.as_bytes())),
        ),
        message: text(message),
    }
}

fn text(bytes: Option<&[u8]>) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.unwrap_or_default())
}

/// Reads a whole `ErrorResponse`, header included.
pub fn server_error(wire: Bytes) -> ServerError {
    let fields = error_fields(wire.get(HEADER_LEN..).unwrap_or_default());
    ServerError {
        code: fields.code.into_owned(),
        message: fields.message.into_owned(),
        wire,
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use proptest::prelude::proptest;

    use super::{
        Report, Severity, UNKNOWN_CODE, authentication_sasl, backend_key_data, error_fields,
        error_response, negotiate_protocol_version, parameter_status, ready_for_query,
        sasl_initial_response, server_error,
    };
    use crate::model::TxStatus;

    #[test]
    fn an_error_carries_all_its_fields() {
        let mut out = Vec::new();
        let report = Report {
            detail: Some("d"),
            hint: Some("h"),
            ..Report::new(Severity::Fatal, "28P01", "no")
        };
        error_response(&mut out, &report);
        assert_eq!(out, b"E\0\0\0\x24SFATAL\0VFATAL\0C28P01\0Mno\0Dd\0Hh\0\0");
        let error = server_error(Bytes::from(out.clone()));
        assert_eq!((&*error.code, &*error.message), ("28P01", "no"));
        assert_eq!(&error.wire[..], &out[..]);
    }

    #[test]
    fn an_error_without_sqlstate_is_read() {
        let fields = error_fields(b"SFATAL\0Mgone\0\0");
        assert_eq!(fields.severity, "FATAL");
        assert_eq!(fields.code, UNKNOWN_CODE);
        assert_eq!(fields.message, "gone");
        assert_eq!(error_fields(b"").code, UNKNOWN_CODE);
        assert_eq!(error_fields(b"C\0\0").code, UNKNOWN_CODE);
        assert_eq!(error_fields(b"SFATAL\0C28").code, UNKNOWN_CODE);
        assert_eq!(error_fields(b"M\xff\0\0").message, "\u{fffd}");
    }

    #[test]
    fn the_untranslated_severity_wins() {
        let fields = error_fields("SFEHLER\0VERROR\0\0".as_bytes());
        assert_eq!(fields.severity, "ERROR");
    }

    #[test]
    fn messages_look_as_specified() {
        let mut out = BytesMut::new();
        parameter_status(&mut out, "TimeZone", b"UTC");
        backend_key_data(&mut out, 7, &[1, 2, 3, 4]);
        ready_for_query(&mut out, TxStatus::Failed);
        negotiate_protocol_version(&mut out, 0x0003_0002, &[b"_pq_.x"]);
        authentication_sasl(&mut out, &["A"]);
        sasl_initial_response(&mut out, "A", b"n,,");
        let expected: &[&[u8]] = &[
            b"S\0\0\0\x11TimeZone\0UTC\0",
            b"K\0\0\0\x0c\0\0\0\x07\x01\x02\x03\x04",
            b"Z\0\0\0\x05E",
            b"v\0\0\0\x13\0\x03\0\x02\0\0\0\x01_pq_.x\0",
            b"R\0\0\0\x0b\0\0\0\x0aA\0\0",
            b"p\0\0\0\x0dA\0\0\0\0\x03n,,",
        ];
        assert_eq!(&out[..], expected.concat());
    }

    proptest! {
        #[test]
        fn any_error_body_is_survived(body: Vec<u8>) {
            let fields = error_fields(&body);
            assert!(!fields.code.is_empty());
        }
    }
}
