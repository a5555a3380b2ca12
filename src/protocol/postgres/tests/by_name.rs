//! Statements prepared by SQL, on connections that others have used.

use super::{
    BOUND, CLOSED, PARSED, answer, bind, cat, client, close, done, error, execute, parse, query,
    ready, send, server, sync, try_send,
};
use crate::model::PinReason;
use crate::protocol::Front;

const PREPARE: &str = "PREPARE a (int) AS SELECT $1";

fn prepared() -> Vec<u8> {
    cat(&[done("PREPARE"), ready(b'I')])
}

fn answered(tag: &str) -> Vec<u8> {
    cat(&[done(tag), ready(b'I')])
}

#[test]
fn the_text_goes_as_it_is_and_is_repeated_elsewhere_first() {
    let (mut front, mut first, mut second) = (client(), server(), server());
    let wire = send(&mut front, &mut first, &query(PREPARE));
    assert_eq!(wire.server, query(PREPARE));
    assert_eq!(answer(&mut front, &mut first, &prepared()), prepared());
    assert!(front.pins().is_empty());
    let run = query("EXECUTE a(1)");
    assert_eq!(send(&mut front, &mut first, &run).server, run);
    answer(&mut front, &mut first, &answered("SELECT 1"));
    let wire = send(&mut front, &mut second, &run);
    assert_eq!(wire.server, cat(&[query(PREPARE), run.clone()]));
    let seen = answer(
        &mut front,
        &mut second,
        &cat(&[prepared(), answered("SELECT 1")]),
    );
    assert_eq!(seen, answered("SELECT 1"));
    assert_eq!(send(&mut front, &mut second, &run).server, run);
}

#[test]
fn what_another_client_calls_so_is_closed_first() {
    let (mut one, mut other, mut back) = (client(), client(), server());
    send(&mut one, &mut back, &query(PREPARE));
    answer(&mut one, &mut back, &prepared());
    let run = query("EXECUTE a(1)");
    let wire = send(&mut other, &mut back, &run);
    assert_eq!(wire.server, cat(&[close("a"), run.clone()]));
    let unknown = cat(&[error("26000", "does not exist"), ready(b'I')]);
    let seen = answer(
        &mut other,
        &mut back,
        &cat(&[CLOSED.into(), unknown.clone()]),
    );
    assert_eq!(seen, unknown);
    // The other makes one of its own, and the first gets its own back.
    let own = query("PREPARE a AS SELECT 'own'");
    assert_eq!(send(&mut other, &mut back, &own).server, own);
    answer(&mut other, &mut back, &prepared());
    let wire = send(&mut one, &mut back, &run);
    assert_eq!(wire.server, cat(&[close("a"), query(PREPARE), run]));
}

#[test]
fn an_error_of_the_repetition_is_shown_in_place_of_the_one_it_causes() {
    let (mut front, mut first, mut second) = (client(), server(), server());
    send(&mut front, &mut first, &query(PREPARE));
    answer(&mut front, &mut first, &prepared());
    send(&mut front, &mut second, &query("EXECUTE a(1)"));
    let gone = error("42P01", "relation does not exist");
    let replies = cat(&[
        gone.clone(),
        ready(b'I'),
        error("26000", "does not exist"),
        ready(b'I'),
    ]);
    let seen = answer(&mut front, &mut second, &replies);
    assert_eq!(seen, cat(&[gone, ready(b'I')]));
}

#[test]
fn something_is_deallocated_where_there_is_nothing() {
    let (mut front, mut first, mut second) = (client(), server(), server());
    send(&mut front, &mut first, &query(PREPARE));
    answer(&mut front, &mut first, &prepared());
    let deallocate = query("DEALLOCATE a");
    let wire = send(&mut front, &mut second, &deallocate);
    let decoy = query("PREPARE \"a\" AS SELECT");
    assert_eq!(wire.server, cat(&[decoy, deallocate]));
    let seen = answer(
        &mut front,
        &mut second,
        &cat(&[prepared(), answered("DEALLOCATE")]),
    );
    assert_eq!(seen, answered("DEALLOCATE"));
    // The first connection still has it, but not for this client.
    let run = query("EXECUTE a(1)");
    assert_eq!(
        send(&mut front, &mut first, &run).server,
        cat(&[close("a"), run])
    );
}

#[test]
fn in_the_extended_protocol_nothing_ends_the_batch() {
    let (mut front, mut first, mut second) = (client(), server(), server());
    send(&mut front, &mut first, &query(PREPARE));
    answer(&mut front, &mut first, &prepared());
    let batch = cat(&[parse("", "EXECUTE a(1)"), bind(""), execute(), sync()]);
    let wire = send(&mut front, &mut second, &batch);
    let mut repeated = parse("", PREPARE);
    repeated.extend_from_slice(b"B\0\0\0\x1asluice_prepare\0\0\0\0\0\0\0\0");
    repeated.extend_from_slice(b"E\0\0\0\x17sluice_prepare\0\0\0\0\0");
    repeated.extend_from_slice(b"C\0\0\0\x14Psluice_prepare\0");
    assert_eq!(wire.server, cat(&[repeated, batch]));
    let replies = cat(&[
        PARSED.into(),
        BOUND.into(),
        done("PREPARE"),
        CLOSED.into(),
        PARSED.into(),
        BOUND.into(),
        done("SELECT 1"),
        ready(b'I'),
    ]);
    let seen = answer(&mut front, &mut second, &replies);
    let expected = cat(&[PARSED.into(), BOUND.into(), done("SELECT 1"), ready(b'I')]);
    assert_eq!(seen, expected);
}

#[test]
fn a_name_of_the_protocol_is_taken_for_sql_too() {
    let (mut front, mut back) = (client(), server());
    send(
        &mut front,
        &mut back,
        &cat(&[parse("a", "select 410"), sync()]),
    );
    answer(&mut front, &mut back, &cat(&[PARSED.into(), ready(b'I')]));
    let wire = send(&mut front, &mut back, &query(PREPARE));
    // By whatever: under the settings of now the statement itself may be one that cannot be prepared.
    let taken = query("PREPARE \"a\" AS SELECT");
    assert_eq!(wire.server, cat(&[taken, query(PREPARE)]));
}

#[test]
fn what_the_statement_does_counts_when_it_is_executed() {
    let (mut front, mut back) = (client(), server());
    let lock = query("PREPARE a AS SELECT pg_advisory_lock(1)");
    send(&mut front, &mut back, &lock);
    answer(&mut front, &mut back, &prepared());
    assert!(front.pins().is_empty());
    send(&mut front, &mut back, &query("EXECUTE a"));
    assert!(front.pins().contains(PinReason::AdvisoryLock));
}

#[test]
fn a_failure_to_prepare_what_the_protocol_did_is_the_querys_own() {
    let (mut front, mut first, mut second) = (client(), server(), server());
    let prepare = cat(&[parse("a", "select 420"), sync()]);
    send(&mut front, &mut first, &prepare);
    answer(&mut front, &mut first, &cat(&[PARSED.into(), ready(b'I')]));
    let run = query("EXECUTE a");
    let wire = send(&mut front, &mut second, &run);
    assert_eq!(wire.server, cat(&[prepare, run.clone()]));
    let gone = error("42P01", "relation does not exist");
    let replies = cat(&[
        gone.clone(),
        ready(b'I'),
        error("26000", "does not exist"),
        ready(b'I'),
    ]);
    let seen = answer(&mut front, &mut second, &replies);
    assert_eq!(seen, cat(&[gone, ready(b'I')]));
    // It is tried again the next time.
    let wire = send(&mut front, &mut second, &run);
    assert!(wire.server.starts_with(&close("a")));
    // Where it is prepared under no name, something else is deallocated in its place.
    let mut third = server();
    let deallocate = query("DEALLOCATE a");
    let wire = send(&mut front, &mut third, &deallocate);
    let decoy = query("PREPARE \"a\" AS SELECT");
    assert_eq!(wire.server, cat(&[decoy, deallocate]));
    let done = answered("DEALLOCATE");
    let seen = answer(&mut front, &mut third, &cat(&[prepared(), done.clone()]));
    assert_eq!(seen, done);
    assert!(front.named.is_empty());
}

#[test]
fn no_sync_of_ours_ends_what_the_server_skips() {
    let (mut front, mut back) = (client(), server());
    let batch = cat(&[bind(""), parse("a", "select 430"), query("select 1")]);
    send(&mut front, &mut back, &batch);
    answer(
        &mut front,
        &mut back,
        &error("26000", "prepared statement \"\" does not exist"),
    );
    // Everything is skipped up to the client's Sync.
    let rest = cat(&[query("PREPARE a AS SELECT 8"), sync()]);
    assert_eq!(send(&mut front, &mut back, &rest).server, rest);
    assert_eq!(answer(&mut front, &mut back, &ready(b'I')), ready(b'I'));
}

#[test]
fn behind_messages_without_a_sync_none_of_ours_is_sent() {
    let (mut front, mut first, mut back) = (client(), server(), server());
    let prepare = cat(&[parse("a", "select 440"), sync()]);
    send(&mut front, &mut first, &prepare);
    answer(&mut front, &mut first, &cat(&[PARSED.into(), ready(b'I')]));
    let batch = cat(&[parse("", "select 1"), bind(""), query("select 2")]);
    let taken = query("PREPARE a AS SELECT 8");
    let (wire, _) = try_send(&mut front, &mut back, &cat(&[batch, taken.clone()])).unwrap();
    assert!(!wire.server.windows(5).any(|part| part == sync()));
    assert!(wire.server.ends_with(&taken));
}

#[test]
fn what_is_put_in_before_a_bind_leaves_it_its_unnamed_statement() {
    let (mut one, mut other, mut back) = (client(), client(), server());
    // Another client has advanced a sequence here.
    send(&mut one, &mut back, &query("insert into t values (1)"));
    answer(&mut one, &mut back, &answered("INSERT 0 1"));
    let (ask, run) = (
        parse("", "select lastval()"),
        cat(&[bind(""), execute(), sync()]),
    );
    let wire = send(&mut other, &mut back, &cat(&[ask.clone(), run.clone()]));
    // The statement is parsed once more behind what discards the others' values.
    let discard = parse("", "DISCARD SEQUENCES");
    assert!(wire.server.starts_with(&cat(&[ask.clone(), discard])));
    assert!(wire.server.ends_with(&cat(&[ask, run])));
}
