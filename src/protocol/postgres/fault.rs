//! Which SQLSTATE and severity a client reads for a [`Fault`].
//!
//! Codes are PostgreSQL's own (<https://www.postgresql.org/docs/current/errcodes-appendix.html>),
//! because drivers and pools act on them: class 08 and 57P0x make a pool throw the connection
//! away, class 53 makes it try again.

use bytes::BytesMut;

use super::message::{Report, Severity, error_response};
use crate::model::{Fault, FaultKind};
use crate::protocol::bytes::Sink;

/// The SQLSTATE for a kind of fault.
pub const fn sqlstate(kind: FaultKind) -> &'static str {
    match kind {
        // invalid_password: what PostgreSQL says for wrong passwords and unknown users alike.
        FaultKind::AuthenticationFailed => "28P01",
        // invalid_authorization_specification: as `no pg_hba.conf entry … no encryption`.
        FaultKind::TlsRequired => "28000",
        // invalid_catalog_name: as PostgreSQL says for a database that does not exist.
        FaultKind::UnknownDatabase => "3D000",
        // too_many_connections. Also for the borrow timeout and a full queue, where PgBouncer
        // says 08P01 for want of a choice: the client's own connection is sound and the request
        // may be tried again, which class 53 tells drivers and class 08 denies.
        FaultKind::TooManyClients | FaultKind::BorrowTimeout | FaultKind::Overloaded => "53300",
        // protocol_violation
        FaultKind::ProtocolViolation => "08P01",
        // feature_not_supported
        FaultKind::Unsupported => "0A000",
        // sqlclient_unable_to_establish_sqlconnection: Sluice is the SQL client that could not.
        FaultKind::TargetUnavailable => "08001",
        // connection_failure: whether the request took effect is not known, unless the kind says so.
        FaultKind::ServerLost | FaultKind::TransactionLost => "08006",
        // admin_shutdown: for a server going down as for `pg_terminate_backend`.
        FaultKind::ShuttingDown | FaultKind::Terminated | FaultKind::Stranded => "57P01",
        // idle_session_timeout
        FaultKind::IdleTimeout => "57P05",
        // idle_in_transaction_session_timeout
        FaultKind::IdleTransactionTimeout => "25P03",
        // query_canceled: PostgreSQL uses it for `statement_timeout`, for cancel requests and
        // for `authentication_timeout`.
        FaultKind::QueryTimeout | FaultKind::Cancelled | FaultKind::LoginTimeout => "57014",
        // insufficient_privilege: as for a setting that the user may not change.
        FaultKind::OptionRefused => "42501",
        // internal_error
        FaultKind::Internal => "XX000",
    }
}

/// Writes the error message for `fault`: FATAL if the connection is closed after it, else ERROR.
/// A server's own message is passed on as it is.
pub fn write<B: Sink>(fault: &Fault, last: bool, out: &mut B) {
    if let Some(wire) = &fault.verbatim {
        out.put_slice(wire);
        return;
    }
    let severity = if last {
        Severity::Fatal
    } else {
        Severity::Error
    };
    let report = Report {
        hint: hint(fault.kind),
        ..Report::new(severity, sqlstate(fault.kind), &fault.message)
    };
    error_response(out, &report);
}

/// A fatal fault whose SQLSTATE is more exact than its kind's.
pub fn with_code(kind: FaultKind, code: &str, message: &'static str) -> Fault {
    let mut wire = BytesMut::new();
    error_response(&mut wire, &Report::new(Severity::Fatal, code, message));
    Fault {
        verbatim: Some(wire.freeze()),
        ..Fault::new(kind, message)
    }
}

const fn hint(kind: FaultKind) -> Option<&'static str> {
    match kind {
        FaultKind::ServerLost => {
            Some("The request may have taken effect. Check before you repeat it.")
        }
        FaultKind::TransactionLost => Some("Roll back, and begin the transaction again."),
        FaultKind::Stranded => {
            Some("Run what leaves such state with the hint /* sluice: primary */.")
        }
        FaultKind::BorrowTimeout | FaultKind::Overloaded => {
            Some("All server connections are in use. Try again later.")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{sqlstate, with_code, write};
    use crate::model::{Fault, FaultKind};
    use crate::protocol::postgres::message::error_fields;

    #[test]
    fn a_last_fault_is_fatal_and_another_is_not() {
        let fault = Fault::new(FaultKind::QueryTimeout, "too slow");
        for (last, severity) in [(true, "FATAL"), (false, "ERROR")] {
            let mut out = Vec::new();
            write(&fault, last, &mut out);
            let fields = error_fields(&out[5..]);
            assert_eq!(fields.severity, severity);
            assert_eq!((&*fields.code, &*fields.message), ("57014", "too slow"));
        }
    }

    #[test]
    fn a_servers_message_is_passed_on_as_it_is() {
        let wire = Bytes::from_static(b"E\0\0\0\x09Mhm\0\0");
        let mut out = Vec::new();
        write(
            &Fault::verbatim(FaultKind::TargetUnavailable, wire.clone()),
            true,
            &mut out,
        );
        assert_eq!(out, wire);
    }

    #[test]
    fn a_code_can_be_more_exact_than_the_kind() {
        let fault = with_code(FaultKind::ProtocolViolation, "28000", "who?");
        let mut out = Vec::new();
        write(&fault, true, &mut out);
        assert_eq!(error_fields(&out[5..]).code, "28000");
        assert_eq!(fault.message, "who?");
    }

    #[test]
    fn codes_have_five_characters() {
        for kind in [
            FaultKind::AuthenticationFailed,
            FaultKind::Overloaded,
            FaultKind::Internal,
        ] {
            assert_eq!(sqlstate(kind).len(), 5);
        }
    }
}
