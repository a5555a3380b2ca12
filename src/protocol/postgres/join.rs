//! Joining a client to a server connection: their settings are made to agree.

use std::sync::Arc;

use super::back::PgBack;
use super::bereft::{self, Loss};
use super::front::{Barrier, PgFront};
use super::owed::{Fate, Owed};
use super::rename;
use super::replay::{Caution, write_difference};
use super::settings::Settings;
use crate::model::{Fault, FaultKind};
use crate::protocol::{Attach, FrontSettings};

/// See [`Engine::attach`](crate::protocol::Engine::attach).
pub fn attach(
    front: &mut PgFront,
    back: &mut PgBack,
    request: &mut Vec<u8>,
    replies: &mut Vec<u8>,
) -> Attach {
    let attach = agree(front, back, request, replies);
    if front.loss == Loss::None {
        return attach;
    }
    bereft::fail(back, request);
    Attach::Wait
}

fn agree(
    front: &mut PgFront,
    back: &mut PgBack,
    request: &mut Vec<u8>,
    replies: &mut Vec<u8>,
) -> Attach {
    back.statements.limit_to(front.policy.max_server_statements);
    // Everything is answered, so nothing waits for what was sent before.
    front.barrier = Barrier::None;
    if Settings::same(front.settings.wanted(), &back.settings) {
        front.settings.applied(true);
        front.confirmed = true;
        front.learn(&back.reported, replies);
        return Attach::Ready;
    }
    let mut sql = Vec::new();
    let caution = write_difference(&back.settings, front.settings.wanted(), &mut sql);
    rename::query(&sql, request);
    back.debts.push(Owed::Query(Fate::Replay));
    // A simple query replaces the unnamed statement.
    back.unnamed = None;
    back.settings = Arc::clone(front.settings.wanted());
    front.settings.applied(true);
    // What a client has asked for at startup may be nothing that a server accepts.
    let known = front.confirmed || back.accepted.contains(&back.settings);
    match caution {
        Caution::None if known => Attach::Ready,
        _ => Attach::Wait,
    }
}

/// Puts into an open transaction what the client's settings at startup were, which the server
/// connection does not know: a RESET in the transaction has asked for them, so they are undone
/// with it. Nothing may be due.
pub(super) fn reset_to_startup(front: &mut PgFront, back: &mut PgBack, out: &mut Vec<u8>) {
    let (actual, wanted) = (front.settings.actual(), front.settings.wanted());
    let mut sql = Vec::new();
    // Should it fail, the transaction has failed, and nothing can run in it under other settings.
    let _ = write_difference(actual, wanted, &mut sql);
    rename::query(&sql, out);
    back.debts.push(Owed::Query(Fate::Replay));
    back.unnamed = None;
    back.settings = Arc::clone(wanted);
    front.settings.applied(false);
}

/// The startup options that policy lets through, as settings.
pub fn admit(asked: &[(String, Vec<u8>)], policy: &FrontSettings) -> Result<Arc<Settings>, Fault> {
    let mut admitted = Vec::with_capacity(asked.len());
    for (name, value) in asked {
        if policy.ignore_options.iter().any(|ignored| ignored == name) {
            continue;
        }
        if let Some(allowed) = &policy.allow_options
            && !allowed.iter().any(|a| a == "*" || a == name)
        {
            return Err(Fault::new(
                FaultKind::OptionRefused,
                format!("startup option \"{name}\" is not allowed here"),
            ));
        }
        admitted.push((&**name, &**value));
    }
    Ok(Settings::from_pairs(admitted))
}
