use std::sync::Arc;
use std::task::Waker;

use super::{Board, Channels};
use crate::model::{PinPolicy, PinReason, Pins, PoolMode};
use crate::protocol::postgres::back::PgBack;
use crate::protocol::postgres::front::PgFront;
use crate::protocol::postgres::inspect::inspect;
use crate::protocol::postgres::settings::Settings;
use crate::protocol::postgres::tests::{
    answer, cat, done, error, msg, policy, query, ready, send, server,
};
use crate::protocol::{Feed, Front, FrontSettings};

/// A client that may share, and knows that its encoding is UTF-8.
fn client(board: &Arc<Board>) -> PgFront {
    let settings = FrontSettings {
        pins: PinPolicy {
            share_feeds: true,
            ..PinPolicy::default()
        },
        ..(*policy(PoolMode::Transaction)).clone()
    };
    let mut front = PgFront::new(Settings::none(), Arc::new(settings));
    front.reported = front.reported.with("client_encoding", b"UTF8");
    front.tune(Arc::clone(board), "app".into(), Waker::noop().clone());
    front
}

fn back() -> PgBack {
    let mut back = server();
    back.reported = back.reported.with("client_encoding", b"UTF8");
    back.rest();
    back
}

fn note(channel: &str, payload: &str) -> Vec<u8> {
    msg(b'A', format!("\0\0\0\x07{channel}\0{payload}\0").as_bytes())
}

fn run(front: &mut PgFront, back: &mut PgBack, sql: &str, tag: &str) {
    send(front, back, &query(sql));
    answer(front, back, &cat(&[done(tag), ready(b'I')]));
}

/// Asks what is held, and has the server name these channels.
fn look(front: &mut PgFront, back: &mut PgBack, channels: &[&str]) {
    assert!(inspect(front, back, &mut Vec::new()));
    let row = |values: &[&str]| {
        let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        for value in values {
            body.extend_from_slice(&i32::try_from(value.len()).unwrap().to_be_bytes());
            body.extend_from_slice(value.as_bytes());
        }
        msg(b'D', &body)
    };
    let mut told = cat(&[row(&["f", "f", "f", "0", "0", "none"]), done("SELECT 1")]);
    for channel in channels {
        told.extend_from_slice(&row(&[channel]));
    }
    told.extend_from_slice(&cat(&[done("SELECT 1"), ready(b'I')]));
    assert_eq!(answer(front, back, &told), b"");
}

/// What the shared connection is asked next.
fn spoken(board: &Board) -> String {
    let mut out = Vec::new();
    board.speak(&mut out);
    String::from_utf8_lossy(out.get(5..).unwrap_or_default())
        .trim_end_matches('\0')
        .to_owned()
}

fn confirm(board: &Board) {
    let told = cat(&[done("LISTEN"), ready(b'I')]);
    assert_eq!(board.hear(&told).unwrap(), told.len());
}

/// The next request of a move, as text; the pieces are the queries.
fn moved(front: &mut PgFront, back: &mut PgBack) -> Vec<String> {
    let mut request = Vec::new();
    if !inspect(front, back, &mut request) {
        return Vec::new();
    }
    let mut queries = Vec::new();
    let mut rest = &*request;
    while let [b'Q', a, b, c, d, tail @ ..] = rest {
        let length = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap() - 4;
        let (text, more) = tail.split_at(length);
        queries.push(
            String::from_utf8_lossy(text)
                .trim_end_matches('\0')
                .to_owned(),
        );
        rest = more;
    }
    queries
}

fn news(front: &mut PgFront) -> Vec<u8> {
    let mut out = Vec::new();
    front.news(&mut out).unwrap();
    out
}

fn names(channels: &[&str]) -> Channels {
    channels.iter().map(|name| name.as_bytes().into()).collect()
}

/// Brings a client to listen to `a` over the board.
fn settled(board: &Arc<Board>) -> (PgFront, PgBack) {
    let (mut front, mut back) = (client(board), back());
    run(&mut front, &mut back, "listen a", "LISTEN");
    look(&mut front, &mut back, &["a"]);
    if !spoken(board).is_empty() {
        confirm(board);
    }
    let queries = moved(&mut front, &mut back);
    let payload = queries[1].split('\'').nth(1).unwrap().to_owned();
    let marker = note("sluice_0000000000000001", &payload);
    answer(
        &mut front,
        &mut back,
        &cat(&[
            done("LISTEN"),
            ready(b'I'),
            done("NOTIFY"),
            marker.clone(),
            ready(b'I'),
        ]),
    );
    board.hear(&marker).unwrap();
    assert_eq!(moved(&mut front, &mut back), ["UNLISTEN *"]);
    answer(
        &mut front,
        &mut back,
        &cat(&[done("UNLISTEN"), ready(b'I')]),
    );
    assert_eq!(front.pins(), Pins::NONE);
    (front, back)
}

#[test]
fn channels_move_without_a_gap_and_without_a_double() {
    let board = Arc::new(Board::new(1));
    assert_eq!(board.follower(0), None);
    let (mut front, mut back) = (client(&board), back());
    run(&mut front, &mut back, "listen a", "LISTEN");
    look(&mut front, &mut back, &["a"]);
    assert_eq!(front.pins(), Pins::of(&[PinReason::Listen]));
    assert_eq!(board.follower(0).as_deref(), Some("app"));
    board.opened();
    let asked = "SET client_encoding TO 'UTF8';\
                 LISTEN \"a\";LISTEN \"sluice_0000000000000001\";";
    assert_eq!(spoken(&board), asked);
    assert_eq!(spoken(&board), "");
    // Not yet.
    assert_eq!(moved(&mut front, &mut back), Vec::<String>::new());
    confirm(&board);
    let (before, after) = (note("a", "before"), note("a", "after"));
    let behind = note("a", "right behind the marker");
    let others = note("sluice_0000000000000001", "7-7");
    // Both connections hear everything.
    board.hear(&before).unwrap();
    let queries = moved(&mut front, &mut back);
    assert_eq!(queries[0], "LISTEN \"sluice_0000000000000001\"");
    let payload = queries[1].split('\'').nth(1).unwrap().to_owned();
    let marker = note("sluice_0000000000000001", &payload);
    let replies = [
        done("LISTEN"),
        ready(b'I'),
        done("NOTIFY"),
        others.clone(),
        before.clone(),
        marker.clone(),
        behind.clone(),
        ready(b'I'),
        after.clone(),
    ];
    assert_eq!(answer(&mut front, &mut back, &cat(&replies)), before);
    let all = cat(&[others, marker, behind.clone(), after.clone()]);
    board.hear(&all).unwrap();
    assert_eq!(front.pins(), Pins::of(&[PinReason::Listen]));
    assert_eq!(moved(&mut front, &mut back), ["UNLISTEN *"]);
    assert_eq!(answer(&mut front, &mut back, &after), b"");
    answer(
        &mut front,
        &mut back,
        &cat(&[done("UNLISTEN"), ready(b'I')]),
    );
    assert_eq!(front.pins(), Pins::NONE);
    assert_eq!(news(&mut front), cat(&[behind, after]));
    assert_eq!(news(&mut front), b"");
    assert_eq!(board.delivered(), 2);
}

#[test]
fn unlistening_follows_the_transaction() {
    let board = Arc::new(Board::new(1));
    board.opened();
    let (mut front, mut back) = settled(&board);
    let (heard, other) = (note("a", "1"), note("b", "1"));
    send(&mut front, &mut back, &query("begin; unlisten a"));
    answer(
        &mut front,
        &mut back,
        &cat(&[done("BEGIN"), done("UNLISTEN"), ready(b'T')]),
    );
    send(&mut front, &mut back, &query("rollback"));
    answer(
        &mut front,
        &mut back,
        &cat(&[done("ROLLBACK"), ready(b'I')]),
    );
    board.hear(&cat(&[heard.clone(), other.clone()])).unwrap();
    assert_eq!(news(&mut front), heard);
    let sql = "begin; savepoint s; unlisten *; rollback to s";
    send(&mut front, &mut back, &query(sql));
    let tags = ["BEGIN", "SAVEPOINT", "UNLISTEN", "ROLLBACK"].map(done);
    answer(&mut front, &mut back, &cat(&[cat(&tags), ready(b'T')]));
    send(&mut front, &mut back, &query("commit"));
    answer(&mut front, &mut back, &cat(&[done("COMMIT"), ready(b'I')]));
    board.hear(&heard).unwrap();
    run(&mut front, &mut back, "unlisten a", "UNLISTEN");
    // What has not been told by then is not told any more.
    assert_eq!(news(&mut front), b"");
    board.hear(&heard).unwrap();
    assert_eq!(news(&mut front), b"");
    assert_eq!(spoken(&board), "UNLISTEN \"a\";");
    assert_eq!(board.follower(0), None);
}

#[test]
fn many_clients_share_and_leave() {
    let board = Arc::new(Board::new(1));
    board.opened();
    let (mut one, _) = settled(&board);
    let (mut two, _) = settled(&board);
    let heard = note("a", "1");
    board.hear(&heard).unwrap();
    assert_eq!(
        (news(&mut one), news(&mut two)),
        (heard.clone(), heard.clone())
    );
    drop(one);
    assert_eq!(spoken(&board), "");
    board.hear(&heard).unwrap();
    assert_eq!(news(&mut two), heard);
    drop(two);
    assert_eq!(spoken(&board), "UNLISTEN \"a\";");
}

#[test]
fn a_lost_connection_is_told_of_and_followed_again() {
    let board = Arc::new(Board::new(1));
    board.opened();
    let (mut front, _) = settled(&board);
    board.lost();
    let told = news(&mut front);
    assert_eq!(told.first(), Some(&b'N'));
    assert!(memchr::memmem::find(&told, b"WARNING").is_some());
    board.opened();
    assert!(spoken(&board).contains("LISTEN \"a\""));
    confirm(&board);
    let heard = note("a", "1");
    board.hear(&heard).unwrap();
    assert_eq!(news(&mut front), heard);
}

#[test]
fn a_connection_lost_during_the_move_changes_nothing_for_the_client() {
    let board = Arc::new(Board::new(1));
    board.opened();
    let (mut front, mut back) = (client(&board), back());
    run(&mut front, &mut back, "listen a", "LISTEN");
    look(&mut front, &mut back, &["a"]);
    spoken(&board);
    confirm(&board);
    board.lost();
    // It does not begin to change over.
    assert_eq!(moved(&mut front, &mut back), Vec::<String>::new());
    let heard = note("a", "1");
    assert_eq!(answer(&mut front, &mut back, &heard), heard);
    board.opened();
    spoken(&board);
    confirm(&board);
    let queries = moved(&mut front, &mut back);
    let payload = queries[1].split('\'').nth(1).unwrap();
    let marker = note("sluice_0000000000000001", payload);
    // Now it has begun, and the marker is lost.
    board.lost();
    let replies = [
        done("LISTEN"),
        ready(b'I'),
        done("NOTIFY"),
        marker,
        ready(b'I'),
    ];
    answer(&mut front, &mut back, &cat(&replies));
    assert_eq!(moved(&mut front, &mut back), ["UNLISTEN *"]);
    answer(
        &mut front,
        &mut back,
        &cat(&[done("UNLISTEN"), ready(b'I')]),
    );
    board.opened();
    spoken(&board);
    confirm(&board);
    board.hear(&heard).unwrap();
    let told = news(&mut front);
    assert!(told.starts_with(b"N") && told.ends_with(&heard));
}

#[test]
fn a_move_that_fails_leaves_the_client_where_it_was() {
    let board = Arc::new(Board::new(1));
    board.opened();
    let (mut front, mut back) = (client(&board), back());
    run(&mut front, &mut back, "listen a", "LISTEN");
    look(&mut front, &mut back, &["a"]);
    spoken(&board);
    confirm(&board);
    assert_eq!(moved(&mut front, &mut back).len(), 2);
    let replies = [
        done("LISTEN"),
        ready(b'I'),
        error("57014", "timeout"),
        ready(b'I'),
    ];
    assert_eq!(answer(&mut front, &mut back, &cat(&replies)), b"");
    assert_eq!(front.pins(), Pins::of(&[PinReason::Listen]));
    assert_eq!(moved(&mut front, &mut back), Vec::<String>::new());
    let heard = note("a", "1");
    assert_eq!(answer(&mut front, &mut back, &heard), heard);
    board.hear(&heard).unwrap();
    assert_eq!(news(&mut front), b"");
}

#[test]
fn who_listens_again_hears_once() {
    let board = Arc::new(Board::new(1));
    board.opened();
    let (mut front, mut back) = settled(&board);
    run(&mut front, &mut back, "listen a", "LISTEN");
    let heard = note("a", "1");
    assert_eq!(answer(&mut front, &mut back, &heard), b"");
    board.hear(&heard).unwrap();
    look(&mut front, &mut back, &["a"]);
    assert_eq!(moved(&mut front, &mut back), ["UNLISTEN *"]);
    answer(
        &mut front,
        &mut back,
        &cat(&[done("UNLISTEN"), ready(b'I')]),
    );
    assert_eq!(front.pins(), Pins::NONE);
    assert_eq!(news(&mut front), heard);
    assert_eq!(**front.settings.heard(), names(&["a"]));
}

#[test]
fn one_who_does_not_listen_is_ended_not_fed_without_bound() {
    let board = Arc::new(Board::new(1));
    board.opened();
    let (mut front, _) = settled(&board);
    let long = note("a", &"x".repeat(7000));
    for _ in 0..1000 {
        board.hear(&long).unwrap();
    }
    assert!(front.news(&mut Vec::new()).is_err());
}

#[test]
fn other_encodings_keep_their_connection() {
    let board = Arc::new(Board::new(1));
    board.opened();
    let (mut front, mut back) = (client(&board), back());
    front.reported = front.reported.with("client_encoding", b"LATIN1");
    back.reported = Arc::clone(&front.reported);
    back.rest();
    run(&mut front, &mut back, "listen a", "LISTEN");
    look(&mut front, &mut back, &["a"]);
    assert_eq!(board.follower(0), None);
    assert_eq!(front.pins(), Pins::of(&[PinReason::Listen]));
}

#[test]
fn nonsense_on_the_shared_connection_is_a_breach() {
    let board = Board::new(1);
    board.opened();
    assert!(board.hear(&msg(b'A', b"\0\0")).is_err());
    assert!(board.hear(&msg(b'T', b"")).is_err());
    assert_eq!(board.hear(b"A\0\0").unwrap(), 0);
}

#[test]
fn requests_between_do_not_disturb_the_move() {
    let board = Arc::new(Board::new(1));
    board.opened();
    let (mut front, mut back) = (client(&board), back());
    run(&mut front, &mut back, "listen a", "LISTEN");
    look(&mut front, &mut back, &["a"]);
    run(&mut front, &mut back, "select 1", "SELECT 1");
    assert!(spoken(&board).contains("LISTEN \"a\""));
    run(&mut front, &mut back, "select 1", "SELECT 1");
    confirm(&board);
    assert_eq!(moved(&mut front, &mut back).len(), 2);
}

#[test]
fn what_is_asked_anew_replaces_what_was_asked() {
    let board = Arc::new(Board::new(1));
    board.opened();
    let (mut front, mut back) = (client(&board), back());
    run(&mut front, &mut back, "listen a", "LISTEN");
    look(&mut front, &mut back, &["a"]);
    run(&mut front, &mut back, "unlisten a; listen b", "UNLISTEN");
    look(&mut front, &mut back, &["b"]);
    let asked = spoken(&board);
    assert!(
        asked.contains("LISTEN \"b\"") && !asked.contains("\"a\""),
        "{asked}"
    );
}

#[test]
fn a_session_that_discards_all_does_not_move() {
    let board = Arc::new(Board::new(1));
    board.opened();
    let (mut front, mut back) = (client(&board), back());
    run(&mut front, &mut back, "listen a", "LISTEN");
    look(&mut front, &mut back, &["a"]);
    spoken(&board);
    confirm(&board);
    run(&mut front, &mut back, "discard all", "DISCARD ALL");
    assert_eq!(moved(&mut front, &mut back), Vec::<String>::new());
    assert_eq!(board.follower(0), None);
    assert_eq!(spoken(&board), "UNLISTEN \"a\";");
}
