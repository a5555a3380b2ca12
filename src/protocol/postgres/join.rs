//! Joining a client to a server connection: their settings are made to agree.

use std::sync::Arc;

use super::back::PgBack;
use super::front::PgFront;
use super::owed::{Fate, Owed};
use super::rename;
use super::settings::{Caution, Settings, write_difference};
use crate::model::{Fault, FaultKind};
use crate::protocol::{Attach, FrontSettings};

/// See [`Engine::attach`](crate::protocol::Engine::attach).
pub fn attach(
    front: &mut PgFront,
    back: &mut PgBack,
    request: &mut Vec<u8>,
    replies: &mut Vec<u8>,
) -> Attach {
    back.statements.limit_to(front.policy.max_server_statements);
    if Settings::same(front.settings.wanted(), &back.settings) {
        front.settings.applied();
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
    front.settings.applied();
    match caution {
        Caution::None => Attach::Ready,
        Caution::Wait => Attach::Wait,
    }
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
