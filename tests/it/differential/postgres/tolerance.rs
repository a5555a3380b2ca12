//! Where replies may differ: errors that are met in another order, because a statement is prepared
//! anew where a direct connection has it already.

use crate::differential::script::{Pair, Reply};

/// Whether both sides heard the same, byte for byte, but for what is told here.
pub fn same(heard: &Pair<Vec<Reply>>) -> bool {
    let (direct, proxied) = (&heard.direct, &heard.proxied);
    equal(direct, proxied) || equal(&settled(direct), &settled(proxied))
}

fn equal(direct: &[Reply], proxied: &[Reply]) -> bool {
    let mut pairs = direct.iter().zip(proxied);
    direct.len() == proxied.len() && pairs.all(|(a, b)| a.bytes == b.bytes || is_count(a, b))
}

/// Of two errors in one Bind, that of a statement that cannot be prepared any more is found before
/// that of a wrong number of values.
fn is_count(direct: &Reply, proxied: &Reply) -> bool {
    direct.shown.starts_with("Error(08P01)") && kind(proxied) == b'E'
}

/// Without what a failed transaction answers to Describe: a statement without result is described
/// even then, but cannot be prepared.
fn settled(replies: &[Reply]) -> Vec<Reply> {
    let mut settled = Vec::new();
    for group in replies.split_inclusive(|reply| kind(reply) == b'Z') {
        let failed = group.last().is_some_and(|last| last.bytes.ends_with(b"E"));
        let refused = |reply: &Reply| reply.shown.starts_with("Error(25P02)");
        let described = |reply: &Reply| matches!(kind(reply), b't' | b'n');
        let kept = group
            .iter()
            .filter(|reply| !failed || !refused(reply) && !described(reply));
        settled.extend(kept.cloned());
    }
    settled
}

fn kind(reply: &Reply) -> u8 {
    reply.bytes[0]
}

#[test]
fn only_what_is_told_is_tolerated() {
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
    let row = reply(b'D', b"1", "");
    assert!(!same(&pair(
        &[row.clone(), failed.clone()],
        std::slice::from_ref(&failed)
    )));
    assert!(!same(&pair(&[row], &[reply(b'D', b"2", "")])));
}
