//! Where replies may differ: errors that are met in another order, because a statement is prepared
//! anew where a direct connection has it already.

use crate::differential::script::{Pair, Reply};

/// Whether both sides heard the same, byte for byte, but for what is told here.
pub fn same(heard: &Pair<Vec<Reply>>) -> bool {
    let (direct, proxied) = (ordered(&heard.direct), ordered(&heard.proxied));
    equal(&direct, &proxied)
        || proxied.iter().chain(&direct).any(is_refusal)
            && equal(&settled(&direct), &settled(&proxied))
}

fn equal(direct: &[Reply], proxied: &[Reply]) -> bool {
    let mut pairs = direct.iter().zip(proxied);
    let same =
        |a: &Reply, b: &Reply| a.bytes == b.bytes || is_earlier(a, b) || is_stale(a) && is_stale(b);
    direct.len() == proxied.len() && pairs.all(|(a, b)| same(a, b))
}

/// The refusal of a plan whose result would change. Where it is Sluice that refuses, it names no line of the server's.
fn is_stale(reply: &Reply) -> bool {
    reply.shown.starts_with("Error(0A000)") && reply.shown.contains(STALE)
}

const STALE: &str = "Mcached plan must not change result type";

/// Of two errors in one Bind or `EXECUTE`, that of a statement that cannot be prepared any more is found before
/// that of a wrong number of values, or of one that is none of its type.
fn is_earlier(direct: &Reply, proxied: &Reply) -> bool {
    const OF_VALUES: [&str; 3] = ["08P01", "22P02", "42601"];
    let of_values = |code| direct.shown.starts_with(&format!("Error({code})"));
    kind(proxied) == b'E' && OF_VALUES.into_iter().any(of_values)
}

/// Whether the two sides go on from here in two ways, as `docs/session-state.md` tells: a plan was renewed that a
/// direct connection refuses to; a statement that only a direct connection has could not be prepared, or not be
/// described as the transaction has failed; preparing one came before `SET TRANSACTION`; a name could not be shown to be
/// taken; the server process has ended itself.
pub fn parted(heard: &Pair<Vec<Reply>>) -> bool {
    let (direct, proxied) = (ordered(&heard.direct), ordered(&heard.proxied));
    let failed = has_failed(&direct) && has_failed(&proxied);
    let mut before: Option<&Reply> = None;
    let mut pairs = direct.iter().zip(&proxied);
    let Some((direct, proxied)) = pairs.find(|(a, b)| {
        let differ = a.bytes != b.bytes;
        if !differ {
            before = Some(a);
        }
        differ
    }) else {
        return false;
    };
    let behind = |what: &str| before.is_some_and(|before| before.shown.contains(what));
    let survived = behind(" SFATAL |") && direct.shown == "(closed)" && kind(proxied) == b'Z';
    let renewed = direct
        .shown
        .contains("Mcached plan must not change result type");
    let gone = proxied.shown.starts_with("Error(42");
    let absent = is_refusal(proxied) || proxied.shown.starts_with("Error(26000)");
    let undescribed = failed && absent && matches!(kind(direct), b't' | b'n');
    let late = proxied.shown.starts_with("Error(25001)") && direct.shown == "Complete(SET)";
    let untaken = direct.shown.starts_with("Error(42P05)") && proxied.shown == "Complete(PREPARE)";
    renewed && kind(proxied) != b'E'
        || gone && matches!(kind(direct), b't' | b'n' | b'1')
        || undescribed
        || survived
        || late
        || untaken
}

/// With reports of settings by name, and without the ParameterDescription that comes before the
/// error of a statement that cannot be prepared any more.
fn ordered(replies: &[Reply]) -> Vec<Reply> {
    let mut ordered: Vec<Reply> = Vec::new();
    for group in replies.chunk_by(|a, b| kind(a) == b'S' && kind(b) == b'S') {
        let mut group = group.to_vec();
        group.sort_by(|a, b| a.bytes.cmp(&b.bytes));
        if kind(&group[0]) == b'E' && ordered.last().is_some_and(|last| kind(last) == b't') {
            ordered.pop();
        }
        ordered.append(&mut group);
    }
    ordered
}

/// True if the last word is that a transaction has failed.
fn has_failed(replies: &[Reply]) -> bool {
    let last = replies.last();
    last.is_some_and(|last| kind(last) == b'Z' && last.bytes.ends_with(b"E"))
}

fn is_refusal(reply: &Reply) -> bool {
    reply.shown.starts_with("Error(25P02)")
}

/// Without what a failed transaction answers up to the next Sync: a statement without result is
/// described even then, but cannot be prepared, and so may not exist.
fn settled(replies: &[Reply]) -> Vec<Reply> {
    let mut settled = Vec::new();
    for group in replies.split_inclusive(|reply| kind(reply) == b'Z') {
        let last = group.last();
        let failed = last.is_some_and(|last| kind(last) != b'Z' || last.bytes.ends_with(b"E"));
        let dropped = |reply: &Reply| matches!(kind(reply), b't' | b'n' | b'E');
        let kept = group.iter().filter(|reply| !failed || !dropped(reply));
        settled.extend(kept.cloned());
    }
    settled
}

fn kind(reply: &Reply) -> u8 {
    reply.bytes[0]
}

#[test]
fn only_what_is_told_parts() {
    let reply = |tag: u8, shown: &str| Reply {
        bytes: [&[tag][..], shown.as_bytes()].concat(),
        shown: shown.into(),
    };
    let one = |direct: &Reply, proxied: &Reply| {
        parted(&Pair {
            direct: vec![direct.clone()],
            proxied: vec![proxied.clone()],
        })
    };
    let stale = reply(
        b'E',
        "Error(0A000) C0A000 | Mcached plan must not change result type",
    );
    let (bound, types, set) = (
        reply(b'2', ""),
        reply(b't', ""),
        reply(b'C', "Complete(SET)"),
    );
    let gone = reply(b'E', "Error(42703)");
    let late = reply(b'E', "Error(25001)");
    let taken = reply(b'E', "Error(42P05)");
    let prepared = reply(b'C', "Complete(PREPARE)");
    assert!(one(&stale, &bound) && one(&types, &gone) && one(&set, &late));
    assert!(one(&taken, &prepared) && !one(&prepared, &taken) && !one(&taken, &set));
    assert!(!one(&stale, &gone) && !one(&bound, &stale) && !one(&gone, &types));
    let two = |direct: &[&Reply], proxied: &[&Reply]| {
        let replies = |those: &[&Reply]| those.iter().map(|&one| one.clone()).collect();
        parted(&Pair {
            direct: replies(direct),
            proxied: replies(proxied),
        })
    };
    let (failed, idle) = (reply(b'Z', "E"), reply(b'Z', "I"));
    let (refused, absent) = (reply(b'E', "Error(25P02)"), reply(b'E', "Error(26000)"));
    for error in [&refused, &absent] {
        assert!(two(&[&types, &failed], &[error, &failed]));
        assert!(!two(&[&types, &idle], &[error, &idle]));
        assert!(!two(&[error, &failed], &[&types, &failed]));
        assert!(!two(&[&bound, &failed], &[error, &failed]));
    }
    let fatal = reply(b'E', "Error(XX000) SFATAL | VFATAL | CXX000");
    let closed = reply(0, "(closed)");
    assert!(two(&[&fatal, &closed], &[&fatal, &idle]));
    assert!(
        !two(&[&absent, &closed], &[&absent, &idle]) && !two(&[&fatal, &idle], &[&fatal, &closed])
    );
    assert!(!one(&bound, &late) && !one(&bound, &gone) && !one(&types, &types));
}

#[test]
fn only_what_is_told_is_is_tolerated() {
    let reply = |tag: u8, body: &[u8], shown: &str| Reply {
        bytes: [&[tag][..], body].concat(),
        shown: shown.into(),
    };
    let (failed, open) = (reply(b'Z', b"E", ""), reply(b'Z', b"T", ""));
    let refused = reply(b'E', b"", "Error(25P02) …");
    let described = [reply(b't', b"", ""), reply(b'n', b"", "")];
    let pair = |direct: &[Reply], proxied: &[Reply]| Pair {
        direct: direct.to_vec(),
        proxied: proxied.to_vec(),
    };
    let [types, none] = described;
    let direct = [types, none, failed.clone()];
    assert!(same(&pair(&direct, &[refused.clone(), failed.clone()])));
    assert!(!same(&pair(&direct, &[refused.clone(), open.clone()])));
    assert!(!same(&pair(
        std::slice::from_ref(&open),
        &[refused, open.clone()]
    )));
    let reports = [reply(b'S', b"a", ""), reply(b'S', b"b", "")];
    let other_way = [reports[1].clone(), reports[0].clone()];
    assert!(same(&pair(&reports, &other_way)));
    let row = reply(b'D', b"1", "");
    assert!(!same(&pair(
        &[row.clone(), failed.clone()],
        std::slice::from_ref(&failed)
    )));
    assert!(!same(&pair(&[row], &[reply(b'D', b"2", "")])));
}
