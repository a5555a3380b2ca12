//! Messages that an earlier error keeps the server from carrying out: they have changed nothing.

use super::{
    BOUND, CLOSED, PARSED, answer, bind, cat, client, close, describe, done, error, execute, parse,
    query, ready, send, server, sync, try_send,
};
use crate::protocol::postgres::back::PgBack;
use crate::protocol::postgres::front::PgFront;
use crate::protocol::{Back, Chore};

/// A request that fails, in the extended protocol.
fn bad() -> Vec<u8> {
    describe("missing")
}

fn no() -> Vec<u8> {
    error("26000", "no")
}

/// Sends, answers, and lets everything settle.
fn exchange(front: &mut PgFront, back: &mut PgBack, request: &[Vec<u8>], replies: &[Vec<u8>]) {
    send(front, back, &cat(request));
    answer(front, back, &cat(replies));
    assert!(back.progress().is_idle());
}

fn prepare(front: &mut PgFront, back: &mut PgBack, name: &str, sql: &str) {
    let replies = [PARSED.into(), ready(b'I')];
    exchange(front, back, &[parse(name, sql), sync()], &replies);
}

#[test]
fn a_name_closed_and_taken_again_still_means_what_it_meant() {
    let (mut front, mut back) = (client(), server());
    prepare(&mut front, &mut back, "a", "select 100");
    let request = [bad(), close("a"), parse("a", "select 101"), sync()];
    exchange(&mut front, &mut back, &request, &[no(), ready(b'I')]);
    let wire = send(&mut front, &mut back, &cat(&[bind("a"), sync()]));
    assert_eq!(wire.server, cat(&[bind("sluice_1"), sync()]));
}

#[test]
fn an_unnamed_statement_that_was_not_replaced_is_still_the_clients() {
    let (mut front, mut first, mut second) = (client(), server(), server());
    prepare(&mut front, &mut first, "", "select 110");
    for replacing in [parse("", "select 111"), close(""), query("select 112")] {
        let request = [bad(), replacing, sync()];
        exchange(&mut front, &mut first, &request, &[no(), ready(b'I')]);
    }
    let wire = send(&mut front, &mut second, &cat(&[bind(""), sync()]));
    let expected = [parse("", "select 110"), bind(""), sync()];
    assert_eq!(wire.server, cat(&expected));
}

#[test]
fn two_skipped_batches_leave_the_unnamed_statement_from_before_both() {
    let (mut front, mut first, mut second) = (client(), server(), server());
    prepare(&mut front, &mut first, "", "select 120");
    let batch = |sql| cat(&[bad(), parse("", sql), sync()]);
    let request = [batch("select 121"), batch("select 122")];
    let replies = [no(), ready(b'I'), no(), ready(b'I')];
    exchange(&mut front, &mut first, &request, &replies);
    let wire = send(&mut front, &mut second, &cat(&[bind(""), sync()]));
    let expected = [parse("", "select 120"), bind(""), sync()];
    assert_eq!(wire.server, cat(&expected));
}

#[test]
fn anothers_unnamed_statement_stays_out_of_reach() {
    for replacing in [parse("", "select 131"), close(""), query("select 132")] {
        let (mut one, mut other, mut back) = (client(), client(), server());
        prepare(&mut one, &mut back, "", "select 130");
        let request = [bad(), replacing, sync()];
        exchange(&mut other, &mut back, &request, &[no(), ready(b'I')]);
        let wire = send(&mut other, &mut back, &cat(&[bind(""), sync()]));
        assert_eq!(wire.server, cat(&[close(""), bind(""), sync()]));
    }
}

#[test]
fn a_close_of_our_own_that_was_skipped_is_sent_again() {
    let (mut front, mut back) = (client(), server());
    for n in 0..10 {
        prepare(
            &mut front,
            &mut back,
            &format!("s{n}"),
            &format!("select 14{n}"),
        );
    }
    let request = [bad(), parse("more", "select 150"), sync()];
    exchange(&mut front, &mut back, &request, &[no(), ready(b'I')]);
    let request = cat(&[parse("more", "select 150"), sync()]);
    let wire = send(&mut front, &mut back, &request);
    let expected = [close("sluice_1"), parse("sluice_12", "select 150"), sync()];
    assert_eq!(wire.server, cat(&expected));
}

#[test]
fn what_a_name_means_waits_for_the_outcome_of_an_earlier_batch() {
    let (mut front, mut first, mut second) = (client(), server(), server());
    prepare(&mut front, &mut first, "a", "select 160");
    // Not prepared on this connection: the first batch does that, unless it fails before.
    let one = cat(&[bad(), bind("a"), execute(), sync()]);
    let two = cat(&[bind("a"), execute(), sync()]);
    let request = cat(&[one.clone(), two.clone()]);
    let (_, dealt) = try_send(&mut front, &mut second, &request).unwrap();
    assert_eq!(dealt, one.len());
    answer(&mut front, &mut second, &cat(&[no(), ready(b'I')]));
    let wire = send(&mut front, &mut second, &two);
    let parsed = parse("sluice_2", "select 160");
    let expected = [parsed, bind("sluice_2"), execute(), sync()];
    assert_eq!(wire.server, cat(&expected));
}

#[test]
fn batches_with_unnamed_statements_of_their_own_do_not_wait() {
    let (mut front, mut back) = (client(), server());
    let batch = |sql| cat(&[parse("", sql), bind(""), execute(), sync()]);
    let request = cat(&[batch("select 170"), batch("select 171")]);
    let wire = send(&mut front, &mut back, &request);
    assert_eq!(wire.server, request);
    // But one that uses an earlier one's does.
    let rest = cat(&[bind(""), sync()]);
    let (_, dealt) = try_send(&mut front, &mut back, &rest).unwrap();
    assert_eq!(dealt, 0);
    let reply = cat(&[PARSED.into(), BOUND.into(), done("SELECT 1"), ready(b'I')]);
    answer(&mut front, &mut back, &cat(&[reply.clone(), reply]));
    assert_eq!(send(&mut front, &mut back, &rest).server, rest);
}

#[test]
fn the_rollback_for_a_lost_client_is_not_skipped_with_its_query() {
    let (mut front, mut back) = (client(), server());
    send(&mut front, &mut back, &cat(&[bad(), query("select 1")]));
    let mut out = Vec::new();
    back.request(Chore::Rollback, &mut out);
    assert!(out.ends_with(&cat(&[sync(), query("ROLLBACK")])));
    let replies = cat(&[no(), ready(b'I'), done("ROLLBACK"), ready(b'I')]);
    assert_eq!(back.absorb(&replies), Ok(replies.len()));
    assert!(back.progress().is_idle());
}

#[test]
fn a_chore_ends_the_unnamed_statement() {
    let (mut front, mut back) = (client(), server());
    prepare(&mut front, &mut back, "", "select 180");
    back.request(Chore::Ping, &mut Vec::new());
    let replies = cat(&[super::msg(b'I', b""), ready(b'I')]);
    assert_eq!(back.absorb(&replies), Ok(replies.len()));
    let wire = send(&mut front, &mut back, &cat(&[bind(""), sync()]));
    let expected = [parse("", "select 180"), bind(""), sync()];
    assert_eq!(wire.server, cat(&expected));
}

#[test]
fn deallocating_all_in_the_extended_protocol_keeps_the_unnamed_statement() {
    let (mut front, mut back) = (client(), server());
    // What follows waits until it is done.
    let request = cat(&[parse("", "deallocate all"), bind(""), execute()]);
    send(&mut front, &mut back, &request);
    let parsed = cat(&[PARSED.into(), BOUND.into(), done("DEALLOCATE ALL")]);
    assert_eq!(answer(&mut front, &mut back, &parsed), parsed);
    send(&mut front, &mut back, &sync());
    answer(&mut front, &mut back, &ready(b'I'));
    let wire = send(&mut front, &mut back, &cat(&[close(""), bind(""), sync()]));
    assert_eq!(wire.server, cat(&[close(""), bind(""), sync()]));
    let refused = cat(&[CLOSED.into(), no(), ready(b'I')]);
    assert_eq!(answer(&mut front, &mut back, &refused), refused);
}
