//! Named statements across server connections.

use super::{
    BOUND, CLOSED, PARSED, answer, bind, cat, client, close, describe, done, error, execute, parse,
    query, ready, send, server, sync, try_send,
};
use crate::protocol::Back;

#[test]
fn a_statement_is_prepared_again_on_a_connection_that_lacks_it() {
    let (mut front, mut first, mut second) = (client(), server(), server());
    let wire = send(
        &mut front,
        &mut first,
        &cat(&[parse("a", "select 1"), sync()]),
    );
    assert_eq!(wire.server, cat(&[parse("sluice_1", "select 1"), sync()]));
    let seen = answer(&mut front, &mut first, &cat(&[PARSED.into(), ready(b'I')]));
    assert_eq!(seen, cat(&[PARSED.into(), ready(b'I')]));
    assert!(first.progress().is_idle());

    let request = cat(&[bind("a"), execute(), sync()]);
    let wire = send(&mut front, &mut second, &request);
    let expected = [
        parse("sluice_1", "select 1"),
        bind("sluice_1"),
        execute(),
        sync(),
    ];
    assert_eq!(wire.server, cat(&expected));
    let rest = cat(&[BOUND.into(), done("SELECT 1"), ready(b'I')]);
    let seen = answer(
        &mut front,
        &mut second,
        &cat(&[PARSED.into(), rest.clone()]),
    );
    assert_eq!(seen, rest);
    assert!(second.progress().is_idle());
}

#[test]
fn a_statement_that_another_client_prepared_is_not_prepared_twice() {
    let (mut one, mut other, mut back) = (client(), client(), server());
    send(&mut one, &mut back, &cat(&[parse("a", "select 2"), sync()]));
    answer(&mut one, &mut back, &cat(&[PARSED.into(), ready(b'I')]));
    let wire = send(
        &mut other,
        &mut back,
        &cat(&[parse("b", "select 2"), sync()]),
    );
    assert_eq!(wire.server, sync());
    assert_eq!(wire.client, PARSED, "nothing was due before it");
    assert_eq!(answer(&mut other, &mut back, &ready(b'I')), ready(b'I'));
}

#[test]
fn an_answer_of_our_own_keeps_its_place() {
    let (mut front, mut back) = (client(), server());
    send(
        &mut front,
        &mut back,
        &cat(&[parse("a", "select 3"), sync()]),
    );
    answer(&mut front, &mut back, &cat(&[PARSED.into(), ready(b'I')]));
    let request = cat(&[
        parse("", "select 4"),
        close("a"),
        parse("b", "select 3"),
        sync(),
    ]);
    let wire = send(&mut front, &mut back, &request);
    assert_eq!(wire.server, cat(&[parse("", "select 4"), sync()]));
    assert_eq!(wire.client, b"");
    let seen = answer(&mut front, &mut back, PARSED);
    assert_eq!(seen, cat(&[PARSED.into(), CLOSED.into(), PARSED.into()]));
    answer(&mut front, &mut back, &ready(b'I'));
    assert!(back.progress().is_idle());
}

#[test]
fn answers_of_our_own_behind_an_error_are_dropped_and_undone() {
    let (mut front, mut back) = (client(), server());
    send(
        &mut front,
        &mut back,
        &cat(&[parse("a", "select 5"), sync()]),
    );
    answer(&mut front, &mut back, &cat(&[PARSED.into(), ready(b'I')]));
    let request = cat(&[
        parse("", "selec"),
        close("a"),
        parse("b", "select 5"),
        sync(),
    ]);
    send(&mut front, &mut back, &request);
    let refusal = error("42601", "syntax error");
    assert_eq!(answer(&mut front, &mut back, &refusal), refusal);
    answer(&mut front, &mut back, &ready(b'I'));
    assert!(back.progress().is_idle());
    // `a` was not closed, `b` does not exist.
    let wire = send(&mut front, &mut back, &cat(&[bind("a"), bind("b"), sync()]));
    assert_eq!(wire.server, cat(&[bind("sluice_1"), bind("b"), sync()]));
}

#[test]
fn a_failed_parse_leaves_no_statement_behind() {
    let (mut front, mut back) = (client(), server());
    send(
        &mut front,
        &mut back,
        &cat(&[parse("a", "select x"), sync()]),
    );
    answer(
        &mut front,
        &mut back,
        &cat(&[error("42703", "no x"), ready(b'I')]),
    );
    let wire = send(
        &mut front,
        &mut back,
        &cat(&[parse("a", "select x"), sync()]),
    );
    assert_eq!(wire.server, cat(&[parse("sluice_2", "select x"), sync()]));
    assert_eq!(wire.client, b"");
}

#[test]
fn a_name_that_is_taken_is_refused_by_the_server_under_the_clients_own_name() {
    let (mut front, mut back) = (client(), server());
    send(
        &mut front,
        &mut back,
        &cat(&[parse("mine", "select 6"), sync()]),
    );
    answer(&mut front, &mut back, &cat(&[PARSED.into(), ready(b'I')]));
    let wire = send(
        &mut front,
        &mut back,
        &cat(&[parse("mine", "select 7"), sync()]),
    );
    assert_eq!(wire.server, cat(&[parse("sluice_1", "select 7"), sync()]));
    let theirs = error("42P05", "prepared statement \"sluice_1\" already exists");
    let seen = answer(&mut front, &mut back, &theirs);
    assert_eq!(
        seen,
        error("42P05", "prepared statement \"mine\" already exists")
    );
    answer(&mut front, &mut back, &ready(b'I'));
    // It still stands for the old text.
    let wire = send(&mut front, &mut back, &cat(&[describe("mine"), sync()]));
    assert_eq!(wire.server, cat(&[describe("sluice_1"), sync()]));
}

#[test]
fn a_client_cannot_reach_another_clients_statement_by_guessing_its_name() {
    let (mut one, mut other, mut back) = (client(), client(), server());
    send(
        &mut one,
        &mut back,
        &cat(&[parse("a", "select 8"), parse("", "select 9"), sync()]),
    );
    answer(
        &mut one,
        &mut back,
        &cat(&[PARSED.into(), PARSED.into(), ready(b'I')]),
    );
    let wire = send(&mut other, &mut back, &cat(&[bind("sluice_1"), sync()]));
    assert_eq!(wire.server, cat(&[bind("?sluice_1"), sync()]));
    answer(
        &mut other,
        &mut back,
        &cat(&[error("26000", "no"), ready(b'I')]),
    );
    let wire = send(&mut other, &mut back, &cat(&[bind(""), sync()]));
    assert_eq!(wire.server, cat(&[close(""), bind(""), sync()]));
    let wire = answer(
        &mut other,
        &mut back,
        &cat(&[CLOSED.into(), error("26000", "no"), ready(b'I')]),
    );
    assert_eq!(wire, cat(&[error("26000", "no"), ready(b'I')]));
}

#[test]
fn an_unnamed_statement_follows_its_client() {
    let (mut front, mut first, mut second) = (client(), server(), server());
    send(
        &mut front,
        &mut first,
        &cat(&[parse("", "select 10"), sync()]),
    );
    answer(&mut front, &mut first, &cat(&[PARSED.into(), ready(b'I')]));
    let wire = send(&mut front, &mut second, &cat(&[bind(""), sync()]));
    assert_eq!(
        wire.server,
        cat(&[parse("", "select 10"), bind(""), sync()])
    );
    answer(
        &mut front,
        &mut second,
        &cat(&[PARSED.into(), BOUND.into(), ready(b'I')]),
    );
    send(&mut front, &mut second, &query("select 1"));
    answer(
        &mut front,
        &mut second,
        &cat(&[done("SELECT 1"), ready(b'I')]),
    );
    // A simple query has replaced it.
    let wire = send(&mut front, &mut second, &cat(&[bind(""), sync()]));
    assert_eq!(wire.server, cat(&[bind(""), sync()]));
}

#[test]
fn the_least_recently_used_statement_makes_room() {
    let (mut front, mut back) = (client(), server());
    for n in 0..11 {
        let wire = send(
            &mut front,
            &mut back,
            &cat(&[parse(&format!("s{n}"), &format!("select 1{n}")), sync()]),
        );
        let named = format!("sluice_{}", n + 1);
        let mut expected = cat(&[parse(&named, &format!("select 1{n}")), sync()]);
        let mut answers = cat(&[PARSED.into(), ready(b'I')]);
        if n == 10 {
            expected = cat(&[close("sluice_1"), expected]);
            answers = cat(&[CLOSED.into(), answers]);
        }
        assert_eq!(wire.server, expected);
        let seen = answer(&mut front, &mut back, &answers);
        assert_eq!(seen, cat(&[PARSED.into(), ready(b'I')]));
    }
}

#[test]
fn deallocate_all_is_believed_when_the_server_says_so() {
    let (mut front, mut back) = (client(), server());
    send(
        &mut front,
        &mut back,
        &cat(&[parse("a", "select 20"), sync()]),
    );
    answer(&mut front, &mut back, &cat(&[PARSED.into(), ready(b'I')]));
    send(&mut front, &mut back, &query("DEALLOCATE ALL"));
    answer(
        &mut front,
        &mut back,
        &cat(&[done("DEALLOCATE ALL"), ready(b'I')]),
    );
    let wire = send(
        &mut front,
        &mut back,
        &cat(&[parse("a", "select 20"), sync()]),
    );
    assert_eq!(wire.server, cat(&[parse("sluice_2", "select 20"), sync()]));
}

#[test]
fn what_follows_a_deallocate_all_waits_for_it() {
    let (mut front, mut back) = (client(), server());
    let input = cat(&[query("DEALLOCATE ALL"), parse("a", "select 21"), sync()]);
    let (wire, dealt) = try_send(&mut front, &mut back, &input).unwrap();
    assert_eq!(wire.server, query("DEALLOCATE ALL"));
    answer(
        &mut front,
        &mut back,
        &cat(&[done("DEALLOCATE ALL"), ready(b'I')]),
    );
    let wire = send(&mut front, &mut back, &input[dealt..]);
    assert_eq!(wire.server, cat(&[parse("sluice_1", "select 21"), sync()]));
    answer(&mut front, &mut back, &cat(&[PARSED.into(), ready(b'I')]));
    let wire = send(&mut front, &mut back, &cat(&[bind("a"), sync()]));
    assert_eq!(wire.server, cat(&[bind("sluice_1"), sync()]));
}
