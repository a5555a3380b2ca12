//! COPY, with errors in the middle.

use super::{
    BOUND, PARSED, answer, bind, cat, client, done, error, execute, msg, parse, query, ready, send,
    server, sync,
};
use crate::model::PinReason;
use crate::protocol::postgres::request;
use crate::protocol::{Back, Chore, Front, Wants};

const COPY_IN: &[u8] = b"G\0\0\0\x07\0\0\0";

#[test]
fn a_sync_during_copy_is_owed_nothing() {
    let (mut front, mut back) = (client(), server());
    let request = [
        parse("", "copy t from stdin"),
        bind(""),
        execute(),
        msg(b'H', b""),
    ];
    send(&mut front, &mut back, &cat(&request));
    answer(
        &mut front,
        &mut back,
        &cat(&[PARSED.into(), BOUND.into(), COPY_IN.into()]),
    );
    send(
        &mut front,
        &mut back,
        &cat(&[msg(b'd', b"1\n"), sync(), msg(b'c', b""), sync()]),
    );
    assert!(!back.progress().settled);
    answer(&mut front, &mut back, &cat(&[done("COPY 1"), ready(b'I')]));
    assert!(back.progress().is_idle());
}

#[test]
fn copy_data_that_comes_after_an_error_is_dropped_attached_or_not() {
    let (mut front, mut back) = (client(), server());
    send(&mut front, &mut back, &query("copy t from stdin"));
    answer(&mut front, &mut back, COPY_IN);
    send(&mut front, &mut back, &msg(b'd', b"x\n"));
    answer(
        &mut front,
        &mut back,
        &cat(&[error("22P02", "bad"), ready(b'I')]),
    );
    assert!(back.progress().is_idle());
    let late = cat(&[msg(b'd', b"more\n"), msg(b'c', b"")]);
    let wire = send(&mut front, &mut back, &late);
    assert_eq!(wire.server, late, "the server drops it itself");
    assert!(back.progress().is_idle());
    let mut replies = Vec::new();
    let input = cat(&[late.clone(), query("select 1")]);
    let wants = request::wants(&mut front, &input, &mut replies).unwrap();
    assert_eq!(wants, (late.len(), Wants::Server));
}

#[test]
fn a_sync_sent_ahead_of_a_copy_that_fails_leaves_the_connection_in_doubt() {
    let (mut front, mut back) = (client(), server());
    send(
        &mut front,
        &mut back,
        &cat(&[parse("", "copy t from stdin"), bind(""), execute(), sync()]),
    );
    answer(
        &mut front,
        &mut back,
        &cat(&[PARSED.into(), BOUND.into(), COPY_IN.into()]),
    );
    send(
        &mut front,
        &mut back,
        &cat(&[msg(b'd', b"1\n"), msg(b'c', b""), sync()]),
    );
    let end = cat(&[error("23505", "no"), ready(b'I')]);
    assert_eq!(answer(&mut front, &mut back, &end), end);
    assert!(!back.progress().is_idle());
    assert!(front.pins().contains(PinReason::ProtocolDoubt));
}

#[test]
fn rows_of_a_copy_out_pass_untouched() {
    let (mut front, mut back) = (client(), server());
    send(&mut front, &mut back, &query("copy t to stdout"));
    let reply = cat(&[
        msg(b'H', b"\0\0\0"),
        msg(b'd', b"1\n"),
        msg(b'd', b"2\n"),
        msg(b'c', b""),
        done("COPY 2"),
        ready(b'I'),
    ]);
    assert_eq!(answer(&mut front, &mut back, &reply), reply);
    assert!(back.progress().is_idle());
}

#[test]
fn a_sync_sent_ahead_of_a_copy_that_succeeds_was_part_of_it() {
    let (mut front, mut back) = (client(), server());
    let request = [parse("", "copy t from stdin"), bind(""), execute(), sync()];
    send(&mut front, &mut back, &cat(&request));
    let begun = cat(&[PARSED.into(), BOUND.into(), COPY_IN.into()]);
    answer(&mut front, &mut back, &begun);
    let data = cat(&[msg(b'd', b"1\n"), msg(b'c', b""), sync()]);
    send(&mut front, &mut back, &data);
    answer(&mut front, &mut back, &cat(&[done("COPY 1"), ready(b'I')]));
    assert!(back.progress().is_idle());
}

#[test]
fn an_end_sent_before_the_copy_begins_ends_it_and_its_sync_counts() {
    let (mut front, mut back) = (client(), server());
    let request = [
        parse("", "copy t from stdin"),
        bind(""),
        execute(),
        msg(b'd', b"1\n"),
        msg(b'c', b""),
        sync(),
    ];
    send(&mut front, &mut back, &cat(&request));
    let replies = [
        PARSED.into(),
        BOUND.into(),
        COPY_IN.into(),
        done("COPY 1"),
        ready(b'I'),
    ];
    assert_eq!(answer(&mut front, &mut back, &cat(&replies)), cat(&replies));
    assert!(back.progress().is_idle());
}

#[test]
fn the_rollback_for_a_lost_client_ends_a_copy_that_has_not_begun() {
    let (mut front, mut back) = (client(), server());
    send(&mut front, &mut back, &query("copy t from stdin"));
    let mut out = Vec::new();
    back.request(Chore::Rollback, &mut out);
    let fail = msg(b'f', b"the client has gone\0");
    assert_eq!(out, cat(&[fail, query("ROLLBACK")]));
    let replies = cat(&[
        COPY_IN.into(),
        error("57014", "failed"),
        ready(b'I'),
        done("ROLLBACK"),
        ready(b'I'),
    ]);
    assert_eq!(back.absorb(&replies), Ok(replies.len()));
    assert!(back.progress().is_idle());
}

#[test]
fn a_copy_that_ends_before_its_sync_comes_keeps_the_connection() {
    let (mut front, mut back) = (client(), server());
    let request = [parse("", "copy t from stdin"), bind(""), execute(), sync()];
    send(&mut front, &mut back, &cat(&request));
    let begun = cat(&[PARSED.into(), BOUND.into(), COPY_IN.into()]);
    answer(&mut front, &mut back, &begun);
    send(&mut front, &mut back, &msg(b'c', b""));
    answer(&mut front, &mut back, &done("COPY 1"));
    // The server has ignored the Sync that came before the end: nothing is committed yet.
    assert!(!back.progress().settled);
    send(&mut front, &mut back, &sync());
    answer(&mut front, &mut back, &ready(b'I'));
    assert!(back.progress().is_idle());
}

#[test]
fn a_sync_during_a_copy_that_has_failed_already_is_no_breach() {
    let (mut front, mut back) = (client(), server());
    send(&mut front, &mut back, &query("copy t from stdin"));
    answer(&mut front, &mut back, COPY_IN);
    send(&mut front, &mut back, &cat(&[msg(b'd', b"x\n"), sync()]));
    let end = cat(&[error("22P02", "bad"), ready(b'I'), ready(b'I')]);
    assert_eq!(answer(&mut front, &mut back, &end), end);
    assert!(!back.progress().is_idle(), "nobody knows how many are due");
    assert!(front.pins().contains(PinReason::ProtocolDoubt));
}
