//! Which error number and SQLSTATE a client reads for a [`Fault`].
//!
//! Numbers are MySQL's own (`share/messages_to_clients.txt`, `messages_to_error_log.txt`) and, for
//! what only a proxy says, RDS Proxy's, because drivers and pools act on them: 1040, 1053 and
//! SQLSTATE class 08 make a pool throw the connection away.

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;

use super::frame::HEADER_LEN;
use super::message::{ERR, Err};
use crate::model::{Fault, FaultKind};
use crate::protocol::bytes::Sink;

/// Error number and SQLSTATE for a kind of fault.
pub const fn code(kind: FaultKind) -> (u16, &'static str) {
    match kind {
        // ER_ACCESS_DENIED_ERROR: what MySQL says for wrong passwords and unknown users alike.
        FaultKind::AuthenticationFailed => (1045, "28000"),
        // ER_SECURE_TRANSPORT_REQUIRED
        FaultKind::TlsRequired => (3159, "HY000"),
        // ER_BAD_DB_ERROR
        FaultKind::UnknownDatabase => (1049, "42000"),
        // ER_CON_COUNT_ERROR
        FaultKind::TooManyClients => (1040, "08004"),
        // RDS Proxy: "Timed-out waiting to acquire database connection".
        FaultKind::BorrowTimeout | FaultKind::Overloaded => (9501, "HY000"),
        // ER_MALFORMED_PACKET
        FaultKind::ProtocolViolation => (1835, "HY000"),
        // ER_NOT_SUPPORTED_YET
        FaultKind::Unsupported => (1235, "42000"),
        // ER_CONNECT_TO_FOREIGN_DATA_SOURCE: Sluice is the client that could not.
        FaultKind::TargetUnavailable => (1429, "HY000"),
        // ER_NET_ERROR_ON_WRITE would be a guess; ER_SERVER_SHUTDOWN is what every driver takes
        // for a connection that is gone. Whether the request took effect is not known.
        FaultKind::ServerLost
        | FaultKind::TransactionLost
        | FaultKind::Stranded
        | FaultKind::ShuttingDown => (1053, "08S01"),
        // ER_CLIENT_INTERACTION_TIMEOUT
        FaultKind::IdleTimeout | FaultKind::IdleTransactionTimeout => (4031, "HY000"),
        // ER_NET_READ_INTERRUPTED: what MySQL notes for `connect_timeout`.
        FaultKind::LoginTimeout => (1159, "08S01"),
        // ER_QUERY_TIMEOUT
        FaultKind::QueryTimeout => (3024, "HY000"),
        // ER_QUERY_INTERRUPTED
        FaultKind::Cancelled => (1317, "70100"),
        // ER_SESSION_WAS_KILLED
        FaultKind::Terminated => (3169, "HY000"),
        // ER_SPECIFIC_ACCESS_DENIED_ERROR
        FaultKind::OptionRefused => (1227, "42000"),
        // ER_UNKNOWN_ERROR
        FaultKind::Internal => (1105, "HY000"),
    }
}

/// Writes the error packet for `fault`, and returns the next sequence number. A server's own
/// message is passed on with this sequence number.
pub fn write<B: Sink>(fault: &Fault, seq: u8, out: &mut B) -> u8 {
    packet(fault).write(seq, out)
}

/// Writes the error packet in place of the greeting: a client that has not been told what the
/// server can do takes no SQLSTATE (MySQL source, `net_send_error`).
pub fn write_early<B: Sink>(fault: &Fault, out: &mut B) -> u8 {
    let err = Err {
        state: &[],
        ..packet(fault)
    };
    err.write(0, out)
}

fn packet(fault: &Fault) -> Err<'_> {
    let verbatim = fault.verbatim.as_deref();
    let payload = verbatim.and_then(|wire| wire.get(HEADER_LEN..));
    let payload = payload.filter(|payload| payload.first() == Some(&ERR));
    if let Some(err) = payload.and_then(Err::read) {
        return err;
    }
    let (code, state) = code(fault.kind);
    Err {
        code,
        state: state.as_bytes(),
        message: match fault.kind {
            // RDS Proxy's sentence, by which tools know it.
            FaultKind::BorrowTimeout => Cow::Owned([ACQUIRE, fault.message.as_bytes()].concat()),
            _ => Cow::Borrowed(fault.message.as_bytes()),
        },
    }
}

const ACQUIRE: &[u8] = b"Timed-out waiting to acquire database connection: ";

/// A fault whose number is more exact than its kind's.
pub fn with_code(kind: FaultKind, code: u16, state: &'static str, message: &'static str) -> Fault {
    let mut wire = Vec::new();
    let err = Err {
        code,
        state: state.as_bytes(),
        message: message.as_bytes().into(),
    };
    err.write(0, &mut wire);
    Fault {
        verbatim: Some(Bytes::from(wire)),
        ..Fault::new(kind, message)
    }
}

/// A packet's sequence number is not the one that was due (`ER_NET_PACKETS_OUT_OF_ORDER`).
pub fn out_of_order() -> Fault {
    with_code(
        FaultKind::ProtocolViolation,
        1156,
        "08S01",
        "Got packets out of order",
    )
}

/// A packet that means nothing (`ER_MALFORMED_PACKET`).
pub fn malformed() -> Fault {
    with_code(
        FaultKind::ProtocolViolation,
        1835,
        "HY000",
        "Malformed communication packet.",
    )
}

/// The fault of a login that is refused, in MySQL's words. `with_password`: the client gave one.
pub fn access_denied(user: &str, host: IpAddr, with_password: bool) -> Fault {
    let host = host.to_canonical();
    let with_password = if with_password { "YES" } else { "NO" };
    Fault::new(
        FaultKind::AuthenticationFailed,
        format!("Access denied for user '{user}'@'{host}' (using password: {with_password})"),
    )
}

#[cfg(test)]
mod tests {
    use super::{access_denied, code, with_code, write, write_early};
    use crate::model::{Fault, FaultKind};

    fn written(fault: &Fault) -> Vec<u8> {
        let mut out = Vec::new();
        assert_eq!(write(fault, 5, &mut out), 6);
        out
    }

    #[test]
    fn number_state_and_sentence_are_sent() {
        let fault = access_denied("ann", [127, 0, 0, 1].into(), true);
        assert_eq!(
            written(&fault),
            b"\x47\0\0\x05\xff\x15\x04#28000Access denied for user 'ann'@'127.0.0.1' (using password: YES)"
        );
        let mut early = Vec::new();
        let fault = Fault::new(FaultKind::TooManyClients, "Too many connections");
        write_early(&fault, &mut early);
        assert_eq!(early, b"\x17\0\0\0\xff\x10\x04Too many connections");
    }

    #[test]
    fn a_servers_message_keeps_its_words_and_gets_our_sequence_number() {
        let wire = bytes::Bytes::from_static(b"\x0b\0\0\x63\xff\x19\x04#42000no");
        let fault = Fault::verbatim(FaultKind::UnknownDatabase, wire);
        assert_eq!(written(&fault), b"\x0b\0\0\x05\xff\x19\x04#42000no");
        // What is no error packet is not passed on.
        let fault = Fault::verbatim(FaultKind::Internal, bytes::Bytes::from_static(b"\0\0\0\0"));
        assert_eq!(&written(&fault)[4..13], b"\xff\x51\x04#HY000");
    }

    #[test]
    fn a_number_can_be_more_exact_than_the_kind() {
        let fault = with_code(FaultKind::ProtocolViolation, 1043, "08S01", "Bad handshake");
        assert_eq!(&written(&fault)[4..], b"\xff\x13\x04#08S01Bad handshake");
        assert_eq!(fault.message, "Bad handshake");
    }

    #[test]
    fn states_have_five_characters() {
        for kind in [
            FaultKind::AuthenticationFailed,
            FaultKind::Overloaded,
            FaultKind::LoginTimeout,
            FaultKind::Internal,
        ] {
            assert_eq!(code(kind).1.len(), 5);
        }
    }
}
