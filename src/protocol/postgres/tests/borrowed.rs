//! Settings of clients that change connections, and by whose name an error speaks.

use bytes::BytesMut;

use super::{
    BOUND, CLOSED, PARSED, answer, bind, cat, client, close, describe, done, error, execute, msg,
    parse, policy, query, ready, send, server, sync,
};
use crate::model::PoolMode;
use crate::protocol::postgres::cancel::CancelKey;
use crate::protocol::postgres::front::PgFront;
use crate::protocol::postgres::reported::Reported;
use crate::protocol::postgres::settings::Settings;
use crate::protocol::postgres::{Postgres, join, message};
use crate::protocol::{Attach, Back, Engine};

fn client_with(settings: &[(&str, &[u8])]) -> PgFront {
    let settings = Settings::from_pairs(settings.iter().copied());
    PgFront::new(settings, policy(PoolMode::Transaction))
}

#[test]
fn a_reset_on_one_connection_is_not_taken_for_the_state_of_another() {
    let startup: &[(&str, &[u8])] = &[("search_path", b"s1")];
    let (mut one, mut other) = (client_with(startup), client_with(startup));
    let (mut first, mut second) = (server(), server());
    let set = cat(&[done("SELECT 1"), ready(b'I')]);
    // Both connections have the path in force; on the first, its client resets it.
    for (front, back) in [(&mut one, &mut first), (&mut other, &mut second)] {
        send(front, back, &query("select 1"));
        answer(front, back, &cat(&[set.clone(), set.clone()]));
    }
    send(&mut one, &mut first, &query("reset search_path"));
    answer(&mut one, &mut first, &cat(&[done("RESET"), ready(b'I')]));
    // Then it runs something on the second, which needs no replay.
    let wire = send(&mut one, &mut second, &query("select 2"));
    assert_eq!(wire.server, query("select 2"));
    answer(&mut one, &mut second, &set);
    // That still has the path, which a client without it must not meet.
    let wire = send(&mut client(), &mut second, &query("select 3"));
    let expected = cat(&[query("RESET \"search_path\""), query("select 3")]);
    assert_eq!(wire.server, expected);
}

#[test]
fn what_a_suspended_portal_has_set_is_followed() {
    let (mut front, mut back) = (client(), server());
    let set = "select set_config('jit', 'off', false)";
    send(
        &mut front,
        &mut back,
        &cat(&[parse("", set), bind(""), execute(), sync()]),
    );
    let suspended = msg(b's', b"");
    answer(
        &mut front,
        &mut back,
        &cat(&[PARSED.into(), BOUND.into(), suspended, ready(b'I')]),
    );
    let wire = send(&mut client(), &mut back, &query("select 1"));
    assert_eq!(
        wire.server,
        cat(&[query("RESET \"jit\""), query("select 1")])
    );
}

#[test]
fn what_a_reset_reports_is_what_the_login_did() {
    let told = |name, value| {
        let mut out = Vec::new();
        message::parameter_status(&mut out, name, value);
        out
    };
    let (mut front, mut back) = (client_with(&[("timezone", b"Europe/Rome")]), server());
    let greeting = Reported::new(vec![
        ("TimeZone".into(), b"Europe/Rome"[..].into()),
        ("DateStyle".into(), b"ISO, MDY"[..].into()),
    ]);
    let key = CancelKey::new(1, 0, &[7; 48]);
    Postgres::welcome(&mut front, &greeting, &key, &mut BytesMut::new());
    send(&mut front, &mut back, &query("select 1"));
    let replayed = cat(&[
        done("SELECT 1"),
        told("TimeZone", b"Europe/Rome"),
        ready(b'I'),
    ]);
    answer(
        &mut front,
        &mut back,
        &cat(&[replayed, done("SELECT 1"), ready(b'I')]),
    );
    for (statement, tag) in [("reset all", "RESET"), ("discard all", "DISCARD ALL")] {
        // The client knows it as it is; the server tells its own.
        send(&mut front, &mut back, &query(statement));
        let own = told("TimeZone", b"UTC");
        let wire = answer(&mut front, &mut back, &cat(&[done(tag), own, ready(b'I')]));
        assert_eq!(wire, cat(&[done(tag), ready(b'I')]), "{statement}");
        // It has changed it; the server may have nothing to tell.
        send(&mut front, &mut back, &query("set timezone = 'UTC'"));
        let back_to_startup = told("TimeZone", b"Europe/Rome");
        let replayed = cat(&[done("SELECT 1"), back_to_startup.clone(), ready(b'I')]);
        let set = cat(&[done("SET"), told("TimeZone", b"UTC"), ready(b'I')]);
        answer(&mut front, &mut back, &cat(&[replayed, set]));
        send(&mut front, &mut back, &query(statement));
        let wire = answer(&mut front, &mut back, &cat(&[done(tag), ready(b'I')]));
        let expected = cat(&[done(tag), back_to_startup.clone(), ready(b'I')]);
        assert_eq!(wire, expected, "{statement}");
        send(&mut front, &mut back, &query("select 2"));
        let replayed = cat(&[done("SELECT 1"), back_to_startup, ready(b'I')]);
        let wire = answer(
            &mut front,
            &mut back,
            &cat(&[replayed, done("SELECT 1"), ready(b'I')]),
        );
        assert_eq!(wire, cat(&[done("SELECT 1"), ready(b'I')]), "{statement}");
    }
}

#[test]
fn a_set_that_is_executed_by_name_is_followed() {
    let (mut front, mut first, mut second) = (client(), server(), server());
    let prepare = cat(&[parse("a", "set search_path to own"), sync()]);
    send(&mut front, &mut first, &prepare);
    answer(&mut front, &mut first, &cat(&[PARSED.into(), ready(b'I')]));
    let wire = send(&mut front, &mut first, &query("execute a"));
    // By its own name, so that errors speak of that.
    let own = cat(&[parse("a", "set search_path to own"), sync()]);
    assert_eq!(wire.server, cat(&[own, query("execute a")]));
    let replies = cat(&[PARSED.into(), ready(b'I'), done("SET"), ready(b'I')]);
    let seen = answer(&mut front, &mut first, &replies);
    assert_eq!(seen, cat(&[done("SET"), ready(b'I')]));
    assert!(first.has_settings());
    let (mut request, mut replies) = (Vec::new(), Vec::new());
    let attach = join::attach(&mut front, &mut second, &mut request, &mut replies);
    assert_eq!(attach, Attach::Ready);
    assert_eq!(request, query("SET \"search_path\" TO 'own'"));
}

#[test]
fn of_two_names_for_one_statement_the_one_that_is_taken_is_named() {
    let (mut front, mut back) = (client(), server());
    let batch = [parse("b", "select 190"), parse("a", "select 190"), sync()];
    send(&mut front, &mut back, &cat(&batch));
    answer(&mut front, &mut back, &cat(&[PARSED.into(), ready(b'I')]));
    for name in ["a", "b"] {
        let request = cat(&[parse(name, "select 191"), sync()]);
        let wire = send(&mut front, &mut back, &request);
        assert_eq!(wire.server, cat(&[parse("sluice_1", "select 191"), sync()]));
        let text = |name: &str| format!("prepared statement \"{name}\" already exists");
        let theirs = error("42P05", &text("sluice_1"));
        let seen = answer(&mut front, &mut back, &cat(&[theirs, ready(b'I')]));
        assert_eq!(seen, cat(&[error("42P05", &text(name)), ready(b'I')]));
    }
}

#[test]
fn a_clients_name_that_looks_like_ours_is_shown_as_it_is() {
    let (mut front, mut back) = (client(), server());
    let prepare = cat(&[parse("a", "select 200"), sync()]);
    send(&mut front, &mut back, &prepare);
    answer(&mut front, &mut back, &cat(&[PARSED.into(), ready(b'I')]));
    let wire = send(&mut front, &mut back, &cat(&[describe("sluice_1"), sync()]));
    assert_eq!(wire.server, cat(&[describe("?sluice_1"), sync()]));
    let theirs = error("26000", "prepared statement \"?sluice_1\" does not exist");
    let seen = answer(&mut front, &mut back, &theirs);
    let own = error("26000", "prepared statement \"sluice_1\" does not exist");
    assert_eq!(seen, own);
}

#[test]
fn closing_what_is_not_the_clients_is_answered_by_us() {
    let (mut front, mut back) = (client(), server());
    let wire = send(&mut front, &mut back, &cat(&[close("sluice_1"), sync()]));
    assert_eq!((wire.server, wire.client), (sync(), CLOSED.to_vec()));
    assert_eq!(answer(&mut front, &mut back, &ready(b'I')), ready(b'I'));
    assert!(back.progress().is_idle());
}
