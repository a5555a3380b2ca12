//! Orders to a Sluice that runs, over its admin endpoint.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use crate::config;

use super::{CONFIGURATION, FAILURE, complain};

/// Sends an order to the program that runs with this configuration file; what it answers goes to `show`.
pub(super) fn send(
    file: &Path,
    verb: &str,
    words: &impl Serialize,
    show: impl FnOnce(String) -> ExitCode,
) -> ExitCode {
    let plan = match config::load(file) {
        Ok(plan) => plan,
        Err(error) => return complain(error.problems(), CONFIGURATION),
    };
    let Some(address) = plan.general.admin_address else {
        return complain(&["admin_address is not configured"], CONFIGURATION);
    };
    match post(reachable(address), verb, words) {
        Ok((200 | 202, answer)) => show(answer),
        Ok((_, answer)) => complain(&[answer.trim_end()], FAILURE),
        Err(error) => complain(&[format!("{address}: {error}")], FAILURE),
    }
}

/// Prints an answer as it is. Whoever reads may have seen enough.
pub(super) fn print(answer: String) -> ExitCode {
    let _ = std::io::stdout().write_all(answer.as_bytes());
    ExitCode::SUCCESS
}

/// An address that listens everywhere is reached on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        return SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
    }
    address
}

fn post(address: SocketAddr, verb: &str, words: &impl Serialize) -> std::io::Result<(u16, String)> {
    let body = serde_json::to_string(words)?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // One request for each connection (RFC 9112, section 9.6).
    write!(
        stream,
        "POST /{verb} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.take(LONGEST_ANSWER).read_to_string(&mut answer)?;
    let strange = || std::io::Error::other("no HTTP answer");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(strange)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or_else(strange)?, body.to_owned()))
}

/// The endpoint answers within 15 seconds.
const PATIENCE: Duration = Duration::from_secs(20);
const LONGEST_ANSWER: u64 = 1024 * 1024;
