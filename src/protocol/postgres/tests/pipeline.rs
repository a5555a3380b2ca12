//! What is owed, and when a server connection is settled.

use super::{
    BOUND, PARSED, answer, bind, cat, client, describe, done, error, execute, msg, parse, query,
    ready, send, server, sync, try_send,
};
use crate::model::{FaultKind, TxStatus};
use crate::protocol::{Back, Chore, Front};

#[test]
fn every_ready_of_a_pipeline_is_waited_for() {
    let (mut front, mut back) = (client(), server());
    send(
        &mut front,
        &mut back,
        &cat(&[query("select 1"), query("select 2")]),
    );
    answer(
        &mut front,
        &mut back,
        &cat(&[done("SELECT 1"), ready(b'I')]),
    );
    assert!(!back.progress().settled);
    answer(
        &mut front,
        &mut back,
        &cat(&[done("SELECT 1"), ready(b'I')]),
    );
    assert!(back.progress().is_idle());
}

#[test]
fn after_an_error_queries_up_to_the_sync_are_skipped_too() {
    let (mut front, mut back) = (client(), server());
    let request = [
        parse("", "selec"),
        bind(""),
        query("select 1"),
        sync(),
        query("select 2"),
    ];
    send(&mut front, &mut back, &cat(&request));
    answer(
        &mut front,
        &mut back,
        &cat(&[error("42601", "no"), ready(b'I')]),
    );
    assert!(!back.progress().settled);
    answer(
        &mut front,
        &mut back,
        &cat(&[done("SELECT 1"), ready(b'I')]),
    );
    assert!(back.progress().is_idle());
}

#[test]
fn what_comes_after_an_error_and_before_the_sync_is_skipped_too() {
    let (mut front, mut back) = (client(), server());
    send(&mut front, &mut back, &parse("x", "selec"));
    answer(&mut front, &mut back, &error("42601", "no"));
    assert!(!back.progress().settled, "a Sync is still to come");
    let wire = send(
        &mut front,
        &mut back,
        &cat(&[bind("x"), query("q"), sync()]),
    );
    assert_eq!(wire.server, cat(&[bind("x"), query("q"), sync()]));
    answer(&mut front, &mut back, &ready(b'I'));
    assert!(back.progress().is_idle());
}

#[test]
fn a_batch_without_sync_keeps_the_connection() {
    let (mut front, mut back) = (client(), server());
    let request = [parse("", "select 1"), bind(""), execute(), msg(b'H', b"")];
    send(&mut front, &mut back, &cat(&request));
    answer(
        &mut front,
        &mut back,
        &cat(&[PARSED.into(), BOUND.into(), done("SELECT 1")]),
    );
    assert!(!back.progress().settled, "its implicit transaction is open");
    send(&mut front, &mut back, &sync());
    answer(&mut front, &mut back, &ready(b'I'));
    assert!(back.progress().is_idle());
}

#[test]
fn transaction_state_is_what_the_server_says() {
    let (mut front, mut back) = (client(), server());
    send(&mut front, &mut back, &query("select begin_unseen()"));
    answer(
        &mut front,
        &mut back,
        &cat(&[done("SELECT 1"), ready(b'T')]),
    );
    assert_eq!(back.progress().tx, TxStatus::Open);
    assert!(!back.progress().is_idle());
    send(&mut front, &mut back, &query("selec"));
    answer(
        &mut front,
        &mut back,
        &cat(&[error("42601", "no"), ready(b'E')]),
    );
    assert_eq!(back.progress().tx, TxStatus::Failed);
}

#[test]
fn a_function_call_is_owed_a_ready() {
    let (mut front, mut back) = (client(), server());
    send(&mut front, &mut back, &msg(b'F', b"\0\0\0\x01\0\0\0\0\0\0"));
    assert!(!back.progress().settled);
    let reply = cat(&[msg(b'V', b"\xff\xff\xff\xff"), ready(b'I')]);
    assert_eq!(answer(&mut front, &mut back, &reply), reply);
    assert!(back.progress().is_idle());
}

#[test]
fn a_fatal_error_out_of_the_blue_closes_the_connection_and_reaches_the_client() {
    let (mut front, mut back) = (client(), server());
    let fatal = msg(b'E', b"SFATAL\0VFATAL\0C57P01\0Mshutdown\0\0");
    assert_eq!(answer(&mut front, &mut back, &fatal), fatal);
    assert!(back.progress().closing);
}

#[test]
fn goodbye_is_not_passed_on() {
    let (mut front, mut back) = (client(), server());
    let (wire, _) = try_send(&mut front, &mut back, &msg(b'X', b"")).unwrap();
    assert_eq!(wire.server, b"");
    assert!(front.has_quit());
}

#[test]
fn bad_messages_are_protocol_violations() {
    for bytes in [
        msg(b'?', b""),
        msg(b'p', b"secret\0"),
        b"Q\0\0\0\x03".to_vec(),
        b"Q\xff\xff\xff\xff".to_vec(),
        b"S\x7f\xff\xff\xff".to_vec(),
        msg(b'P', b"no end"),
        msg(b'D', b"?x\0"),
        msg(b'B', b""),
    ] {
        let fault = try_send(&mut client(), &mut server(), &bytes).unwrap_err();
        assert_eq!(fault.kind, FaultKind::ProtocolViolation, "{bytes:?}");
    }
}

#[test]
fn a_chore_shows_nothing_to_anybody_and_keeps_its_value() {
    let mut back = server();
    let mut out = Vec::new();
    back.request(Chore::Query("select 42"), &mut out);
    assert_eq!(out, query("select 42"));
    let reply = cat(&[
        msg(b'T', b"\0\0"),
        msg(b'D', b"\0\x01\0\0\0\x0242"),
        done("SELECT 1"),
        ready(b'I'),
    ]);
    assert_eq!(back.absorb(&reply), Ok(reply.len()));
    assert_eq!(back.chore_value(), Some(&b"42"[..]));
    assert!(back.progress().is_idle());
    back.request(Chore::Ping, &mut out);
    back.absorb(&cat(&[error("XX000", "broken"), ready(b'I')]))
        .unwrap();
    assert_eq!(back.chore_error().unwrap().code, "XX000");
}

#[test]
fn a_rollback_ends_what_a_lost_client_left_half_done() {
    let (mut front, mut back) = (client(), server());
    send(
        &mut front,
        &mut back,
        &cat(&[parse("", "select 1"), bind(""), execute()]),
    );
    let mut out = Vec::new();
    back.request(Chore::Rollback, &mut out);
    // The statement might be a COPY; an error comes before the Sync, lest it commit.
    let fail = msg(b'f', b"the client has gone\0");
    let expected = [fail, describe("?"), sync(), query("ROLLBACK")];
    assert_eq!(out, cat(&expected));
    let replies = cat(&[
        PARSED.into(),
        error("57014", "cancelled"),
        ready(b'I'),
        done("ROLLBACK"),
        ready(b'I'),
    ]);
    assert_eq!(back.absorb(&replies), Ok(replies.len()));
    assert!(back.progress().is_idle());
}

#[test]
fn a_reply_that_nothing_asked_for_is_a_breach() {
    for bytes in [
        ready(b'I'),
        done("SELECT 1"),
        PARSED.to_vec(),
        msg(b'?', b""),
    ] {
        assert!(server().absorb(&bytes).is_err(), "{bytes:?}");
    }
}
