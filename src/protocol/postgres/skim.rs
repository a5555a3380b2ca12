//! The answer to a plain simple query, passed on without a look at each message's meaning.
//!
//! Of such an answer only its end changes the books. The messages before it are passed on together, up to
//! one that is not whole or not of the usual kinds: that and what follows is read as ever, by
//! [`super::reply`].

use super::back::CopyIn;
use super::frame::{self, HEADER_LEN};
use super::owed::{Fate, Owed};
use super::reply::{LONGEST_BODY, Reader};

/// Passes on what it can of `input` from `at`; returns how many bytes that was.
pub(super) fn skim(reader: &mut Reader<'_>, input: &[u8], at: usize) -> usize {
    let back = &mut *reader.back;
    let Some(client) = &mut reader.client else {
        return 0;
    };
    let plain = matches!(back.debts.first(), Some(Owed::Query(Fate::Client)));
    if !plain
        || back.body.left > 0
        || back.copy != CopyIn::None
        || !back.held.is_empty()
        || client.front.replay_failed.is_some()
    {
        return 0;
    }
    let (mut end, mut ran, mut shown) = (at, false, false);
    while let Some(rest) = input.get(end..)
        && let Ok(Some(header)) = frame::header(rest, LONGEST_BODY)
        && let Some(body) = rest.get(HEADER_LEN..header.total())
    {
        match header.kind {
            // DataRow.
            b'D' => {}
            // RowDescription.
            b'T' => shown = true,
            // CommandComplete of what changes nothing but rows.
            b'C' if TAGS.iter().any(|tag| body.starts_with(tag)) => ran = true,
            _ => break,
        }
        end += header.total();
    }
    if end > at {
        client.front.ran |= ran;
        client.script.pass(at..end);
        if shown {
            back.again.shown();
        }
    }
    end - at
}

/// How the tags of these commands begin (PostgreSQL documentation, section 55.7, CommandComplete).
const TAGS: [&[u8]; 4] = [b"SELECT ", b"UPDATE ", b"INSERT ", b"DELETE "];
