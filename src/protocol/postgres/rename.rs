//! Writing and rewriting the messages of the extended query protocol that name statements
//! (formats: PostgreSQL documentation, section 55.7).

/// ParseComplete.
pub const PARSE_COMPLETE: &[u8] = b"1\0\0\0\x04";

/// CloseComplete.
pub const CLOSE_COMPLETE: &[u8] = b"3\0\0\0\x04";

/// Splits a zero-terminated string off; `None` if its end has not come.
pub fn split_cstr(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(0, bytes)?;
    Some((bytes.get(..end)?, bytes.get(end + 1..)?))
}

/// Writes a Parse for `name`; `body` is text and parameter types, as another Parse had them.
pub fn parse(name: &[u8], body: &[u8], out: &mut Vec<u8>) {
    head(b'P', name.len() + 1 + body.len(), out);
    out.extend_from_slice(name);
    out.push(0);
    out.extend_from_slice(body);
}

/// Writes a Bind up to and including its names; `rest` bytes are to follow.
pub fn bind_head(portal: &[u8], statement: &[u8], rest: usize, out: &mut Vec<u8>) {
    head(b'B', portal.len() + 1 + statement.len() + 1 + rest, out);
    out.extend_from_slice(portal);
    out.push(0);
    out.extend_from_slice(statement);
    out.push(0);
}

/// Writes a Describe (`D`) or Close (`C`) of a statement.
pub fn about_statement(kind: u8, name: &[u8], out: &mut Vec<u8>) {
    head(kind, 1 + name.len() + 1, out);
    out.push(b'S');
    out.extend_from_slice(name);
    out.push(0);
}

/// Writes a Bind without parameters.
pub fn bind_plain(portal: &[u8], statement: &[u8], out: &mut Vec<u8>) {
    bind_head(portal, statement, 6, out);
    out.extend_from_slice(&[0; 6]);
}

/// Writes an Execute for all rows.
pub fn execute(portal: &[u8], out: &mut Vec<u8>) {
    head(b'E', portal.len() + 1 + 4, out);
    out.extend_from_slice(portal);
    out.extend_from_slice(&[0; 5]);
}

/// Writes a Close of a portal.
pub fn close_portal(name: &[u8], out: &mut Vec<u8>) {
    head(b'C', 1 + name.len() + 1, out);
    out.push(b'P');
    out.extend_from_slice(name);
    out.push(0);
}

/// Writes a message that is in order and must fail: the description of a statement by a name that
/// nobody gives.
pub fn nonsense(out: &mut Vec<u8>) {
    about_statement(b'D', b"?", out);
}

/// Writes a Query.
pub fn query(sql: &[u8], out: &mut Vec<u8>) {
    head(b'Q', sql.len() + 1, out);
    out.extend_from_slice(sql);
    out.push(0);
}

/// Writes a CopyFail.
pub fn copy_fail(reason: &[u8], out: &mut Vec<u8>) {
    head(b'f', reason.len() + 1, out);
    out.extend_from_slice(reason);
    out.push(0);
}

/// Writes a Sync.
pub fn sync(out: &mut Vec<u8>) {
    head(b'S', 0, out);
}

/// Writes a Terminate.
pub fn terminate(out: &mut Vec<u8>) {
    head(b'X', 0, out);
}

/// The message with every `from` in its body replaced, and its length put right.
pub fn replaced(message: &[u8], from: &[u8], to: &[u8]) -> Option<Vec<u8>> {
    let (kind, rest) = message.split_first()?;
    let mut body = rest.get(4..)?;
    let mut text = Vec::with_capacity(message.len() + to.len());
    while let Some(at) = memchr::memmem::find(body, from) {
        text.extend_from_slice(body.get(..at)?);
        text.extend_from_slice(to);
        body = body.get(at + from.len()..)?;
    }
    text.extend_from_slice(body);
    let mut out = Vec::with_capacity(text.len() + 5);
    head(*kind, text.len(), &mut out);
    out.extend_from_slice(&text);
    Some(out)
}

/// Writes a message.
pub fn message(kind: u8, body: &[u8], out: &mut Vec<u8>) {
    head(kind, body.len(), out);
    out.extend_from_slice(body);
}

/// Writes a Flush.
pub fn flush(out: &mut Vec<u8>) {
    head(b'H', 0, out);
}

pub(super) fn head(kind: u8, body: usize, out: &mut Vec<u8>) {
    out.push(kind);
    // Bodies come from messages whose length was an Int32 and grow by a name; one that no longer
    // fits is refused by the server, as its sender would have been.
    let length = i32::try_from(body + 4).unwrap_or(i32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::{bind_head, parse, replaced};

    #[test]
    fn lengths_count_themselves_and_what_follows() {
        let mut out = Vec::new();
        bind_head(b"", b"s1", 3, &mut out);
        assert_eq!(out, b"B\0\0\0\x0b\0s1\0");
        out.clear();
        parse(b"a", b"x\0\0\0", &mut out);
        assert_eq!(out, b"P\0\0\0\x0aa\0x\0\0\0");
    }

    #[test]
    fn a_replaced_name_changes_the_length() {
        let message = b"E\0\0\0\x0cMab ab\0\0";
        assert_eq!(
            replaced(message, b"ab", b"xyz").unwrap(),
            b"E\0\0\0\x0eMxyz xyz\0\0"
        );
    }
}
