//! Joining a client to a server connection: their settings are made to agree.

use std::sync::Arc;

use super::back::MyBack;
use super::chore::{put_command, put_query};
use super::command;
use super::front::MyFront;
use super::grammar::Shape;
use super::owed::{Fate, Owed};
use super::recall::AFTER_NONE;
use super::settings::{self, Settings};
use crate::protocol::Attach;

/// See [`Engine::attach`](crate::protocol::Engine::attach).
pub fn attach(front: &mut MyFront, back: &mut MyBack, request: &mut Vec<u8>) -> Attach {
    front.usual = Some(back.usual);
    let agree = Settings::same(&front.settings, &back.settings);
    // A schema once chosen cannot be left but for another (there is no command for it).
    if !agree && front.settings.schema().is_none() && back.settings.schema().is_some() {
        return Attach::Unfit;
    }
    if !back.dirty {
        front.lose_filtered();
    }
    let other = back.holder != front.session;
    if other {
        back.holder = front.session;
        back.leftovers.handed_over(back.suspect);
        back.statements.uproot_all();
    }
    let elsewhere = other || back.number != front.last.connection;
    if elsewhere && back.warned {
        put_query(request, back.capabilities, AFTER_NONE.as_bytes());
        back.owe(Owed::new(Fate::Replay, Shape::Results));
        back.warned = false;
    }
    let recounted = std::mem::take(&mut back.recounted);
    front.last.found.elsewhere |= elsewhere || recounted;
    front.last.interrupted |= elsewhere || recounted;
    if elsewhere {
        front.last.connection = back.number;
        front.last.id_elsewhere = true;
    }
    back.statements.limit_to(front.policy.max_server_statements);
    for number in back.statements.take_stale() {
        put_command(request, command::STMT_CLOSE, &number.to_le_bytes());
    }
    if back.multi_statements != front.multi_statements {
        // 0: on, 1: off (MySQL protocol, `enum_mysql_set_option`).
        let option = u16::from(!front.multi_statements);
        put_command(request, command::SET_OPTION, &option.to_le_bytes());
        back.owe(Owed::new(Fate::Replay, Shape::Plain));
        back.multi_statements = front.multi_statements;
    }
    if agree {
        return Attach::Ready;
    }
    let difference = settings::difference(&back.settings, &front.settings);
    let mut attach = Attach::Ready;
    if let Some(schema) = &difference.schema {
        put_command(request, command::INIT_DB, schema);
        back.owe(Owed::new(Fate::Replay, Shape::Plain));
        // A statement must not run in another schema than its own, should this one be gone.
        attach = Attach::Wait;
    }
    if !difference.sql.is_empty() {
        put_query(request, back.capabilities, &difference.sql);
        back.owe(Owed::new(Fate::Replay, Shape::Results));
    }
    back.settings = Arc::clone(&front.settings);
    attach
}
