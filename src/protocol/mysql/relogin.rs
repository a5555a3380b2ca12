//! `COM_CHANGE_USER`: the client logs in anew on the same connection (MySQL protocol).

use std::sync::{Arc, Mutex};

use super::accept::MAX_RESPONSE_LEN;
use super::capability::Capabilities;
use super::fault;
use super::frame::{HEADER_LEN, Header};
use super::front::MyFront;
use super::login::{Assurance, Login};
use super::response::attribute;
use super::wire::Reader;
use crate::model::{Fault, Secret};

/// True if a request of so many bytes may be one to log in anew.
pub const fn is_acceptable(header: Header) -> bool {
    header.len <= MAX_RESPONSE_LEN
}

/// Reads the packet at the front of `input`; returns its length, and what the client says of
/// itself. Its answer is to the last challenge that it has got, as servers expect.
pub fn read(front: &MyFront, input: &[u8]) -> Result<(usize, Login), Fault> {
    let header = Header::read(input).ok_or_else(fault::malformed)?;
    let payload = input.get(HEADER_LEN..header.total());
    let login = payload.and_then(|payload| said(front, payload));
    let login = login.ok_or_else(fault::malformed)?;
    login.sequence.follow(header.seq);
    Ok((header.total(), login))
}

fn said(front: &MyFront, payload: &[u8]) -> Option<Login> {
    let mut reader = Reader::new(payload);
    let _command = reader.u8()?;
    let user = std::str::from_utf8(reader.cstr()?).ok()?;
    // Every client that Sluice takes has the 4.1 authentication, and with it a byte of length.
    let len = reader.u8()?;
    let answer = reader.take(len.into())?;
    let database = std::str::from_utf8(reader.cstr()?).ok()?;
    // What follows may be left out.
    let collation = reader.u16().unwrap_or(front.collation);
    let named = front.capabilities.has(Capabilities::PLUGIN_AUTH);
    let plugin = if named && !reader.is_empty() {
        std::str::from_utf8(reader.cstr()?).ok()?
    } else {
        ""
    };
    let attributes = if front.capabilities.has(Capabilities::CONNECT_ATTRS) && !reader.is_empty() {
        reader.lenenc_bytes()?
    } else {
        &[]
    };
    let application = attribute(attributes, "program_name")
        .or_else(|| attribute(attributes, "_client_name"))
        .unwrap_or_default();
    // COM_SET_OPTION outlives it.
    let multi_statements = Capabilities::MULTI_STATEMENTS;
    let capabilities = if front.multi_statements {
        front.capabilities | multi_statements
    } else {
        front.capabilities.without(multi_statements)
    };
    Some(Login {
        user: user.into(),
        database: database.into(),
        capabilities,
        collation,
        flavor: front.flavor,
        peer: front.peer,
        tls: front.tls,
        plugin: plugin.into(),
        answer: Mutex::new(Some(Secret::new(answer))),
        challenge: Arc::clone(&front.challenge),
        again: true,
        // Servers go on with it.
        found: front.last.found.carried(),
        attributes: attributes.into(),
        application: String::from_utf8_lossy(application).into(),
        sequence: Arc::clone(&front.sequence),
        assurance: Assurance::default(),
    })
}
