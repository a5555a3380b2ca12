//! What Sluice asks a server before it can say in which state the client's last command has left
//! the connection, or what the client may want to know about it later.

use super::back::MyBack;
use super::chore::put_query;
use super::connect::{TRACKERS, TRACKERS_ALONE};
use super::front::MyFront;
use super::grammar::Shape;
use super::login::Flavor;
use super::owed::{Fate, Owed};
use super::settings;
use super::settled;
use super::status::Status;
use super::unseen::{self, Doubt};
use crate::model::PinReason;

/// See [`Engine::inquire`](crate::protocol::Engine::inquire).
pub fn inquire(front: &mut MyFront, back: &mut MyBack, request: &mut Vec<u8>) {
    if !back.is_quiet() || back.closing {
        return;
    }
    // The statements below leave none.
    if (back.untracked || back.unnamed) && front.last.warnings.is_open() {
        ask_for_warnings(front, back, request);
    }
    if back.untracked || back.unnamed {
        // They count no rows themselves.
        front.last.interrupted |= front.last.row_count != 0;
    }
    // MariaDB's tracker needs the names behind it, see `TRACKERS`. Names that it has not told may be of the client's
    // choice: it keeps the connection, which is reset behind it.
    let told = !front.is_pinned_for(PinReason::Setting);
    let renamed = back.unnamed || back.untracked && back.flavor() == Flavor::MariaDb && told;
    if back.untracked {
        back.untracked = false;
        let trackers = if renamed { TRACKERS } else { TRACKERS_ALONE };
        replay(back, trackers.as_bytes(), request);
    }
    if back.unnamed {
        back.unnamed = false;
        replay(back, settings::FRESH_NAMES, request);
    }
    if renamed {
        back.settings = back.settings.with_fresh_names();
        // A client that keeps the connection goes on with its own.
        let difference = settings::difference(&back.settings, &front.settings);
        if !difference.sql.is_empty() {
            replay(back, &difference.sql, request);
            back.settings = front.settings.with_schema(back.settings.schema());
        }
    }
    if back.status_unknown {
        if may_leave(front, back) && front.last.warnings.is_open() {
            // Its end tells the status, too.
            ask_for_warnings(front, back, request);
        } else {
            // Unlike a ping it leaves `ROW_COUNT()` and the warnings as they are after an error.
            put_query(request, back.capabilities, b"SHOW WARNINGS LIMIT 0");
            back.owe(Owed::new(Fate::Probe, Shape::Results));
        }
    }
}

fn replay(back: &mut MyBack, sql: &[u8], request: &mut Vec<u8>) {
    put_query(request, back.capabilities, sql);
    back.owe(Owed::new(Fate::Replay, Shape::Results));
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
    // Behind the warnings, of which it makes one, and before what returns rows.
    if front.last.found.ask() {
        put_query(request, back.capabilities, FOUND_ROWS);
        back.owe(Owed::new(Fate::FoundRows, Shape::Results));
    }
    if front.last.insert_id_open {
        put_query(request, back.capabilities, LAST_INSERT_ID);
        back.owe(Owed::new(Fate::InsertId, Shape::Results));
        front.last.insert_id_open = false;
    }
    ask_for_variables(front, back, request);
    front.last.interrupted |= !request.is_empty();
    front.last.found.elsewhere |= !request.is_empty();
    !request.is_empty()
}

/// What code of users has left, if some may have run.
fn ask_for_variables(front: &mut MyFront, back: &mut MyBack, request: &mut Vec<u8>) {
    match front.unseen.doubt() {
        Doubt::None => {}
        _ if back.blind => settled::unanswered(front, back),
        doubt => {
            // Nobody tells of these: what a routine has locked ends with it.
            if doubt == Doubt::Routines {
                replay(back, b"DO RELEASE_ALL_LOCKS()", request);
            }
            front.unseen.asked();
            put_query(request, back.capabilities, unseen::question(back.flavor()));
            back.owe(Owed::new(Fate::UserVariables, Shape::Results));
        }
    }
}

/// The limit goes before what the session has set as `sql_select_limit`, here and below.
pub(super) const FOUND_ROWS: &[u8] = b"SELECT FOUND_ROWS() LIMIT 1";

/// After it the connection has none, so that the next client's command shows whether it has made one.
const LAST_INSERT_ID: &[u8] = b"SELECT LAST_INSERT_ID(), LAST_INSERT_ID(0) LIMIT 1";

fn may_leave(front: &MyFront, back: &MyBack) -> bool {
    !front.is_pinned() && !back.status.has(Status::IN_TRANS)
}

/// Asks for the warnings of the client's last command.
pub(super) fn ask_for_warnings(front: &mut MyFront, back: &mut MyBack, request: &mut Vec<u8>) {
    put_query(request, back.capabilities, b"SHOW WARNINGS");
    back.owe(Owed::new(Fate::Warnings, Shape::Results));
    front.last.warnings.asked();
}
