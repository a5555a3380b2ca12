//! What Sluice asks a server before it can say in which state the client's last command has left
//! the connection, or what the client may want to know about it later.

use super::back::MyBack;
use super::chore::{put_command, put_query};
use super::command;
use super::connect::TRACKERS;
use super::front::MyFront;
use super::grammar::Shape;
use super::owed::{Fate, Owed};
use super::settings;
use super::status::Status;
use crate::model::PinReason;

/// See [`Engine::inquire`](crate::protocol::Engine::inquire).
pub fn inquire(front: &mut MyFront, back: &mut MyBack, request: &mut Vec<u8>) {
    if !back.is_quiet() || back.closing {
        return;
    }
    if back.untracked {
        back.untracked = false;
        for text in [TRACKERS.as_bytes(), settings::FRESH_NAMES] {
            put_query(request, back.capabilities, text);
            back.owe(Owed::new(Fate::Replay, Shape::Results));
        }
        back.settings = back.settings.with_fresh_names();
    }
    if back.status_unknown {
        if may_leave(front, back) && front.last.warnings.is_open() {
            // Its end tells the status, too.
            ask_for_warnings(front, back, request);
        } else {
            put_command(request, command::PING, &[]);
            back.owe(Owed::new(Fate::Probe, Shape::Plain));
        }
    }
}

/// See [`Engine::inspect`](crate::protocol::Engine::inspect).
pub fn inspect(front: &mut MyFront, back: &mut MyBack, request: &mut Vec<u8>) -> bool {
    if front.last.warnings.are_too_many() {
        front.pin(PinReason::Diagnostics);
    }
    // The next command of a client that keeps its connection can ask for itself.
    if back.closing || !may_leave(front, back) {
        return false;
    }
    if front.last.warnings.is_open() {
        ask_for_warnings(front, back, request);
    }
    if front.last.insert_id_open {
        put_query(request, back.capabilities, b"SELECT LAST_INSERT_ID()");
        back.owe(Owed::new(Fate::InsertId, Shape::Results));
        front.last.insert_id_open = false;
    }
    !request.is_empty()
}

fn may_leave(front: &MyFront, back: &MyBack) -> bool {
    !front.is_pinned() && !back.status.has(Status::IN_TRANS)
}

fn ask_for_warnings(front: &mut MyFront, back: &mut MyBack, request: &mut Vec<u8>) {
    put_query(request, back.capabilities, b"SHOW WARNINGS");
    back.owe(Owed::new(Fate::Warnings, Shape::Results));
    front.last.warnings.asked();
}
