//! Splitting a stream anywhere changes nothing, and no bytes can do harm.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

use super::{
    BOUND, CLOSED, PARSED, bind, cat, client, close, describe, done, error, execute, msg, parse,
    query, ready, server, sync,
};
use crate::protocol::postgres::back::PgBack;
use crate::protocol::postgres::front::PgFront;
use crate::protocol::postgres::reply::{self, Watcher};
use crate::protocol::postgres::request;
use crate::protocol::{Back, Script};

/// Offers `stream` in pieces that end at `cuts`, keeping what is not dealt with, as a relay does.
fn in_pieces(
    stream: &[u8],
    cuts: &[prop::sample::Index],
    mut offer: impl FnMut(&[u8]) -> Option<(usize, Vec<u8>)>,
) -> Option<Vec<u8>> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    let (mut kept, mut out, mut start) = (Vec::new(), Vec::new(), 0);
    for end in ends {
        kept.extend_from_slice(&stream[start..end]);
        start = end;
        let (dealt, output) = offer(&kept)?;
        assert!(dealt <= kept.len());
        kept.drain(..dealt);
        out.extend(output);
    }
    Some(out)
}

fn to_server(front: &mut PgFront, back: &mut PgBack, input: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (mut script, mut replies) = (Script::default(), Vec::new());
    let dealt = request::read(front, back, input, &mut script, &mut replies).ok()?;
    Some((dealt, script.pieces(input).collect::<Vec<_>>().concat()))
}

fn to_client(front: &mut PgFront, back: &mut PgBack, input: &[u8]) -> Option<(usize, Vec<u8>)> {
    let mut script = Script::default();
    let watcher = Watcher {
        front,
        script: &mut script,
    };
    let dealt = reply::read(back, Some(watcher), input).ok()?;
    Some((dealt, script.pieces(input).collect::<Vec<_>>().concat()))
}

fn frontend() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[a-z ]{0,20}".prop_map(|sql| query(&sql)),
        ("[ab]?", "select [0-3]").prop_map(|(name, sql)| parse(&name, &sql)),
        "[abc]?".prop_map(|name| bind(&name)),
        "[abc]?".prop_map(|name| describe(&name)),
        "[abc]?".prop_map(|name| close(&name)),
        Just(execute()),
        Just(sync()),
        Just(msg(b'H', b"")),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|data| msg(b'd', &data)),
    ]
}

fn reply_to_query() -> impl Strategy<Value = Vec<u8>> {
    let row = prop::collection::vec(any::<u8>(), 0..60).prop_map(|row| msg(b'D', &row));
    let rows = prop::collection::vec(row, 0..6).prop_map(|rows| rows.concat());
    let end = prop_oneof![
        Just(done("SELECT 1")),
        Just(error("22012", "division by zero"))
    ];
    (rows, end).prop_map(|(rows, end)| {
        cat(&[
            msg(b'T', b"\0\0"),
            rows,
            msg(b'S', b"TimeZone\0UTC\0"),
            end,
            ready(b'I'),
        ])
    })
}

proptest! {
    #[test]
    fn requests_may_come_in_any_pieces(
        messages in prop::collection::vec(frontend(), 0..12),
        cuts: Vec<prop::sample::Index>,
    ) {
        let stream = messages.concat();
        let (mut front, mut back) = (client(), server());
        let whole = in_pieces(&stream, &[], |input| to_server(&mut front, &mut back, input));
        let (mut front, mut back_of_pieces) = (client(), server());
        let pieces = in_pieces(&stream, &cuts, |input| {
            to_server(&mut front, &mut back_of_pieces, input)
        });
        assert_eq!(whole, pieces);
        assert_eq!(back.progress(), back_of_pieces.progress());
    }

    #[test]
    fn replies_pass_unchanged_in_any_pieces(
        reply in reply_to_query(),
        cuts: Vec<prop::sample::Index>,
    ) {
        let (mut front, mut back) = (client(), server());
        to_server(&mut front, &mut back, &query("select")).unwrap();
        let seen = in_pieces(&reply, &cuts, |input| to_client(&mut front, &mut back, input));
        assert_eq!(seen, Some(reply));
        assert!(back.progress().is_idle());
    }

    #[test]
    fn extended_replies_pass_without_what_we_put_in(cuts: Vec<prop::sample::Index>) {
        let (mut front, mut first, mut back) = (client(), server(), server());
        to_server(&mut front, &mut first, &cat(&[parse("a", "select 9"), sync()])).unwrap();
        to_client(&mut front, &mut first, &cat(&[PARSED.into(), ready(b'I')])).unwrap();
        to_server(&mut front, &mut back, &cat(&[bind("a"), execute(), sync()])).unwrap();
        let theirs = cat(&[BOUND.into(), done("SELECT 0"), ready(b'I')]);
        let reply = cat(&[PARSED.into(), theirs.clone()]);
        let seen = in_pieces(&reply, &cuts, |input| to_client(&mut front, &mut back, input));
        assert_eq!(seen, Some(theirs));
    }

    #[test]
    fn any_bytes_are_survived(bytes: Vec<u8>, cuts: Vec<prop::sample::Index>) {
        let (mut front, mut back) = (client(), server());
        in_pieces(&bytes, &cuts, |input| to_server(&mut front, &mut back, input));
        let (mut front, mut back) = (client(), server());
        in_pieces(&bytes, &cuts, |input| to_client(&mut front, &mut back, input));
        let mut back = server();
        to_server(&mut front, &mut back, &query("select"));
        in_pieces(&bytes, &cuts, |input| to_client(&mut front, &mut back, input));
    }

    #[test]
    fn a_reply_of_ours_does_not_overtake_a_long_one(cuts: Vec<prop::sample::Index>) {
        let (mut front, mut back) = (client(), server());
        to_server(&mut front, &mut back, &cat(&[parse("a", "select 8"), sync()])).unwrap();
        to_client(&mut front, &mut back, &cat(&[PARSED.into(), ready(b'I')])).unwrap();
        let request = [describe("a"), close("a"), sync()];
        to_server(&mut front, &mut back, &cat(&request)).unwrap();
        let described = cat(&[msg(b't', b"\0\0"), msg(b'T', &[7; 70_000])]);
        let reply = cat(&[described.clone(), ready(b'I')]);
        let seen = in_pieces(&reply, &cuts, |input| to_client(&mut front, &mut back, input));
        assert_eq!(seen, Some(cat(&[described, CLOSED.into(), ready(b'I')])));
    }
}
