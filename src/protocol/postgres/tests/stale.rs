//! Statements whose tables have changed since they were prepared.

use super::{
    BOUND, CLOSED, PARSED, answer, bind, cat, client, close, describe, done, error, execute, msg,
    parse, ready, send, server, sync, try_send,
};
use crate::protocol::postgres::again;
use crate::protocol::postgres::back::PgBack;
use crate::protocol::postgres::front::PgFront;
use crate::protocol::postgres::shape::refusal;

const TYPES: &[u8] = b"t\0\0\0\x06\0\0";

/// A RowDescription of one column with this name.
fn row(name: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend_from_slice(name.as_bytes());
    body.push(0);
    body.extend_from_slice(&[0; 18]);
    msg(b'T', &body)
}

fn bind_of(name: &str) -> Vec<u8> {
    msg(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes())
}

fn describe_portal() -> Vec<u8> {
    msg(b'D', b"P\0")
}

fn flush() -> Vec<u8> {
    msg(b'H', b"")
}

/// A client that has prepared `a` on the connection, and been told of a column `one`.
fn told(sql: &str) -> (PgFront, PgBack) {
    let (mut front, mut back) = (client(), server());
    let batch = cat(&[parse("a", sql), describe("a"), sync()]);
    send(&mut front, &mut back, &batch);
    let replies = cat(&[PARSED.into(), TYPES.into(), row("one"), ready(b'I')]);
    assert_eq!(answer(&mut front, &mut back, &replies), replies);
    (front, back)
}

#[test]
fn a_client_that_knows_the_columns_gets_no_others() {
    let (mut front, _) = told("select 500");
    let mut back = server();
    let batch = cat(&[bind("a"), execute(), sync()]);
    // The server is asked first.
    let (wire, dealt) = try_send(&mut front, &mut back, &batch).unwrap();
    let asked = cat(&[
        parse("sluice_1", "select 500"),
        describe("sluice_1"),
        flush(),
    ]);
    assert_eq!((wire.server, dealt), (asked, 0));
    let (wire, dealt) = try_send(&mut front, &mut back, &batch).unwrap();
    assert_eq!((wire.server, dealt), (vec![], 0));
    let replies = cat(&[PARSED.into(), TYPES.into(), row("other")]);
    assert_eq!(answer(&mut front, &mut back, &replies), b"");
    let wire = send(&mut front, &mut back, &batch);
    let nonsense = describe("?");
    assert_eq!(wire.server, cat(&[nonsense, execute(), sync()]));
    let seen = answer(
        &mut front,
        &mut back,
        &cat(&[error("26000", "does not exist"), ready(b'I')]),
    );
    assert_eq!(seen, cat(&[refusal(), ready(b'I')]));
    // If it asks, it is told, and may go on.
    let batch = cat(&[bind("a"), describe_portal(), execute(), sync()]);
    let wire = send(&mut front, &mut back, &batch);
    let expected = cat(&[bind_of("sluice_1"), describe_portal(), execute(), sync()]);
    assert_eq!(wire.server, expected);
    let replies = cat(&[BOUND.into(), row("other"), done("SELECT 1"), ready(b'I')]);
    assert_eq!(answer(&mut front, &mut back, &replies), replies);
    let wire = send(&mut front, &mut back, &cat(&[bind("a"), execute(), sync()]));
    assert_eq!(wire.server, cat(&[bind_of("sluice_1"), execute(), sync()]));
}

#[test]
fn where_the_columns_are_the_same_nothing_is_asked_twice() {
    let (mut front, _) = told("select 510");
    let mut back = server();
    let batch = cat(&[bind("a"), execute(), sync()]);
    try_send(&mut front, &mut back, &batch).unwrap();
    let replies = cat(&[PARSED.into(), TYPES.into(), row("one")]);
    answer(&mut front, &mut back, &replies);
    let expected = cat(&[bind_of("sluice_1"), execute(), sync()]);
    let done = cat(&[BOUND.into(), done("SELECT 1"), ready(b'I')]);
    for _ in 0..2 {
        assert_eq!(send(&mut front, &mut back, &batch).server, expected);
        assert_eq!(answer(&mut front, &mut back, &done), done);
    }
}

#[test]
fn a_batch_that_describes_is_sent_again_unseen() {
    let (mut front, mut back) = told("select 520");
    let rest = cat(&[describe_portal(), execute(), sync()]);
    let wire = send(&mut front, &mut back, &cat(&[bind("a"), rest.clone()]));
    assert_eq!(wire.server, cat(&[bind_of("sluice_1"), rest.clone()]));
    let refused = cat(&[refusal(), ready(b'I')]);
    assert_eq!(answer(&mut front, &mut back, &refused), b"");
    let mut request = Vec::new();
    again::send(&mut front, &mut back, &mut request);
    let anew = cat(&[close("sluice_1"), parse("sluice_2", "select 520")]);
    assert_eq!(request, cat(&[anew, bind_of("sluice_2"), rest]));
    let own = cat(&[BOUND.into(), row("other"), done("SELECT 1"), ready(b'I')]);
    let replies = cat(&[CLOSED.into(), PARSED.into(), own.clone()]);
    assert_eq!(answer(&mut front, &mut back, &replies), own);
}

#[test]
fn a_description_is_sent_again_unseen() {
    let (_first, mut back) = told("select 530");
    let mut front = client();
    // The statement is there already: the answer to the Parse is ours.
    let batch = cat(&[parse("b", "select 530"), describe("b"), sync()]);
    let wire = send(&mut front, &mut back, &batch);
    assert_eq!(wire.server, cat(&[describe("sluice_1"), sync()]));
    assert_eq!(wire.client, PARSED);
    let refused = cat(&[TYPES.into(), refusal(), ready(b'I')]);
    assert_eq!(answer(&mut front, &mut back, &refused), b"");
    let mut request = Vec::new();
    again::send(&mut front, &mut back, &mut request);
    let anew = cat(&[close("sluice_1"), parse("sluice_2", "select 530")]);
    assert_eq!(request, cat(&[anew, describe("sluice_2"), sync()]));
    let own = cat(&[TYPES.into(), row("other"), ready(b'I')]);
    let replies = cat(&[CLOSED.into(), PARSED.into(), own.clone()]);
    assert_eq!(answer(&mut front, &mut back, &replies), own);
}

#[test]
fn within_a_transaction_the_refusal_is_shown() {
    let (mut front, mut back) = told("select 540");
    send(&mut front, &mut back, &super::query("begin"));
    answer(&mut front, &mut back, &cat(&[done("BEGIN"), ready(b'T')]));
    let batch = cat(&[bind("a"), describe_portal(), execute(), sync()]);
    send(&mut front, &mut back, &batch);
    let refused = cat(&[refusal(), ready(b'E')]);
    assert_eq!(answer(&mut front, &mut back, &refused), refused);
    // Afterwards it is prepared anew.
    send(&mut front, &mut back, &super::query("rollback"));
    answer(
        &mut front,
        &mut back,
        &cat(&[done("ROLLBACK"), ready(b'I')]),
    );
    let anew = cat(&[close("sluice_1"), parse("sluice_2", "select 540")]);
    let wire = send(&mut front, &mut back, &batch);
    assert!(wire.server.starts_with(&anew));
}

#[test]
fn a_question_that_was_skipped_is_asked_again() {
    let (mut front, _) = told("select 550");
    let mut back = server();
    // Prepared here already, but nobody has asked for its shape.
    let describes = cat(&[bind("a"), describe_portal(), execute(), sync()]);
    send(&mut front, &mut back, &describes);
    let failed = cat(&[PARSED.into(), error("22012", "no"), ready(b'I')]);
    answer(&mut front, &mut back, &failed);
    let batch = cat(&[parse("", "selec"), bind("a"), execute(), sync()]);
    let (wire, dealt) = try_send(&mut front, &mut back, &batch).unwrap();
    let asked = cat(&[parse("", "selec"), describe("sluice_1"), flush()]);
    assert_eq!(wire.server, asked);
    let rest = &batch[dealt..];
    answer(&mut front, &mut back, &error("42601", "syntax error"));
    send(&mut front, &mut back, rest);
    answer(&mut front, &mut back, &ready(b'I'));
    let batch = cat(&[bind("a"), execute(), sync()]);
    let (wire, _) = try_send(&mut front, &mut back, &batch).unwrap();
    assert_eq!(wire.server, cat(&[describe("sluice_1"), flush()]));
}
