//! From the classification of SQL text to what it means for multiplexing: which settings it
//! changes, and whether it leaves anything behind that cannot be carried to another connection.

use std::sync::{Arc, LazyLock};

use crate::model::{PinReason, Pins};
use crate::sql::cache::{CacheLimits, VerdictCache};
use crate::sql::lexer::{Lexer, Quoting};
use crate::sql::postgres::{classify, plain};
use crate::sql::skeleton::Plain;
use crate::sql::statement::{
    CopyFlow, Detail, SettingAction, SettingScope, Statement, TransactionControl, Verdict, Which,
};
use crate::sql::touches::{Touch, Touches};

use super::settings::{ROLE, USER};

pub use crate::sql::fingerprint::fingerprint;

/// What executing a text does to the session.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Reasons to keep the server connection, from the moment the text is sent.
    pub pins: Pins,
    /// The statements, where the session's model must follow them one by one; `None` where none
    /// of them changes a setting or the transaction.
    pub script: Option<Arc<Verdict>>,
    /// It gives settings values that a Bind brings: without them, [`PinReason::Setting`] holds.
    pub bound: bool,
    /// It may advance a sequence, seen or unseen.
    pub advances: bool,
    /// It says that it advances a sequence.
    pub says_so: bool,
    /// It asks for a sequence's value that the session remembers.
    pub recalls: bool,
    /// It may end a transaction, and with it what the transaction has set.
    pub ends: bool,
    /// It may give up what pins.
    pub gives_up: bool,
    /// It may run code of users, which may do anything.
    pub may_call: bool,
    /// It may change functions, views and the like.
    pub alters: bool,
}

/// True if the text gives or takes away what later requests may build on: they wait until it is
/// done.
pub fn clears_the_table(verdict: &Verdict) -> bool {
    verdict.touches.intersects(
        Touches::of(Touch::Deallocate)
            .with(Touch::DiscardAll)
            .with(Touch::SqlPrepare),
    )
}

/// The name that an EXECUTE, which is all of `text`, runs.
pub fn executed(text: &[u8]) -> Option<Box<str>> {
    let mut tokens = Lexer::new(text, Quoting::Standard);
    if !tokens.next()?.is_word(b"execute") {
        return None;
    }
    match &*classify(text).statements {
        [only] => match &only.detail {
            Detail::SqlExecute(Which::One(folded)) => Some(folded.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// What executing `text` does.
pub fn effects(text: &[u8]) -> Effects {
    if text.len() <= CACHED_TEXT {
        match plain(text) {
            Some(Plain::Read) => return Effects::default(),
            Some(Plain::Change) => {
                return Effects {
                    advances: true,
                    may_call: true,
                    ..Effects::default()
                };
            }
            None => {}
        }
        let verdict = classify(text);
        if !matters(&verdict) {
            return Effects {
                ends: ends(&verdict),
                advances: advances(&verdict),
                says_so: verdict.touches.contains(Touch::SequenceState),
                recalls: verdict.touches.contains(Touch::SequenceRecall),
                gives_up: verdict.touches.intersects(GIVES_UP),
                may_call: verdict.may_call,
                alters: verdict.alters,
                ..Effects::default()
            };
        }
        return of(Arc::new(verdict));
    }
    static CACHE: LazyLock<VerdictCache<Verdict>> =
        LazyLock::new(|| VerdictCache::new(|text, ()| classify(text), CacheLimits::default()));
    of(CACHE.get(text, ()))
}

/// True if anything must be noted at all.
fn matters(verdict: &Verdict) -> bool {
    verdict.touches.intersects(NOTED) || !is_plain(verdict)
}

/// True if ReadyForQuery and the command tag tell all about the text's effect on the transaction.
fn is_plain(verdict: &Verdict) -> bool {
    match &*verdict.statements {
        [] => true,
        [one] => matches!(
            one.control,
            TransactionControl::None
                | TransactionControl::Begin(_)
                | TransactionControl::Commit { chain: false }
                | TransactionControl::Rollback { chain: false }
                | TransactionControl::PrepareTransaction
        ),
        several => several
            .iter()
            .all(|statement| statement.control == TransactionControl::None),
    }
}

/// True if a setting of the session gets a value that a Bind brings.
pub fn sets_session_by_parameter(verdict: &Verdict) -> bool {
    verdict.setting_changes().any(|(_, change)| {
        change.scope == SettingScope::Session
            && matches!(change.action, SettingAction::Parameter(_))
    })
}

/// True if some statement calls `nextval`, or writes rows and may do so for a column's default.
fn advances(verdict: &Verdict) -> bool {
    verdict.touches.intersects(ADVANCES)
        || verdict.statements.iter().any(|statement| {
            statement.writes
                && statement.control == TransactionControl::None
                && match &statement.detail {
                    Detail::None => true,
                    Detail::Copy(flow) => *flow != CopyFlow::Out,
                    _ => false,
                }
        })
}

/// True if some statement ends a transaction.
fn ends(verdict: &Verdict) -> bool {
    verdict.statements.iter().any(|statement| {
        !matches!(
            statement.control,
            TransactionControl::None | TransactionControl::Begin(_)
        )
    })
}

fn of(verdict: Arc<Verdict>) -> Effects {
    let mut pins = if verdict.touches.contains(Touch::Unknown) {
        Pins::of(&[PinReason::Unclassified])
    } else {
        Pins::NONE
    };
    for statement in &verdict.statements {
        if !is_carried(statement) {
            pins = pins.union(pins_of(statement));
        }
    }
    let bound = verdict
        .setting_changes()
        .any(|(_, change)| matches!(change.action, SettingAction::Parameter(_)));
    let scripted = verdict.touches.intersects(SCRIPTED) || !is_plain(&verdict);
    Effects {
        pins,
        bound,
        ends: ends(&verdict),
        advances: advances(&verdict),
        says_so: verdict.touches.contains(Touch::SequenceState),
        recalls: verdict.touches.contains(Touch::SequenceRecall),
        gives_up: verdict.touches.intersects(GIVES_UP),
        may_call: verdict.may_call,
        alters: verdict.alters,
        script: scripted.then_some(verdict),
    }
}

/// Why what a statement does cannot be carried to another connection.
fn pins_of(statement: &Statement) -> Pins {
    let mut pins = Pins::NONE;
    for (touch, reason) in PINNED {
        if statement.touches.contains(touch) {
            pins.insert(reason);
        }
    }
    if let Some(reason) = untracked(statement) {
        pins.insert(reason);
    }
    pins
}

/// True for a PREPARE that can be repeated elsewhere. What its statement does counts when that is
/// executed.
fn is_carried(statement: &Statement) -> bool {
    matches!(statement.detail, Detail::SqlPrepare(Which::One(_), _))
        && !statement.touches.contains(Touch::Unknown)
}

/// Why what a PREPARE's statement does when it is executed cannot be carried.
pub fn inner_pins(prepare: &Statement) -> Pins {
    let mut pins = pins_of(prepare);
    pins.remove(PinReason::SqlPrepare);
    pins
}

/// Why the settings that a statement changes cannot be followed, if so. The random seed is state,
/// not a value, and a reason of its own.
fn untracked(statement: &Statement) -> Option<PinReason> {
    let (Detail::Settings(changes) | Detail::SettingsByRow(changes)) = &statement.detail else {
        return statement
            .touches
            .intersects(SETS)
            .then_some(PinReason::Setting);
    };
    let change = changes.iter().find(|change| {
        change.scope == SettingScope::Session
            && (matches!(change.action, SettingAction::FromCurrent) || &*change.name == "seed")
    })?;
    Some(match &*change.name {
        ROLE | USER => PinReason::Role,
        _ => PinReason::Setting,
    })
}

/// Statements that change settings of the session.
const SETS: Touches = Touches::of(Touch::SetSession)
    .with(Touch::SetSessionCharacteristics)
    .with(Touch::SetRole)
    .with(Touch::SetSessionAuthorization)
    .with(Touch::SetFromParameter)
    .with(Touch::SetUnknown);

/// What may advance a sequence, or hides what it does.
const ADVANCES: Touches = Touches::of(Touch::SequenceState)
    .with(Touch::SqlExecute)
    .with(Touch::CodeBlock)
    .with(Touch::Unknown);

/// Statements whose success changes what is known of the session.
const SCRIPTED: Touches = SETS
    .with(Touch::SetLocal)
    .with(Touch::SqlPrepare)
    .with(Touch::SqlExecute)
    .with(Touch::Deallocate)
    .with(Touch::DiscardSequences)
    .with(Touch::DiscardAll)
    .with(Touch::Unlisten);

/// Statements after which a session may hold less than before. What tags tell (`DROP TABLE`, `CLOSE
/// CURSOR`) is heeded when they come: see `inspect`.
const GIVES_UP: Touches = Touches::of(Touch::AdvisoryUnlock)
    .with(Touch::Unlisten)
    .with(Touch::Deallocate)
    .with(Touch::DiscardTemp);

/// Which touch is a reason to pin.
const PINNED: [(Touch, PinReason); 12] = [
    (Touch::SetUnknown, PinReason::Setting),
    (Touch::TempObject, PinReason::TempObject),
    (Touch::CursorHold, PinReason::HeldCursor),
    (Touch::Listen, PinReason::Listen),
    (Touch::AdvisoryLock, PinReason::AdvisoryLock),
    (Touch::Load, PinReason::Load),
    (Touch::SqlPrepare, PinReason::SqlPrepare),
    (Touch::RandomSeed, PinReason::RandomSeed),
    (Touch::CodeBlock, PinReason::CodeBlock),
    (Touch::ExternalConnection, PinReason::ExternalConnection),
    (Touch::ReplicationSession, PinReason::Unclassified),
    (Touch::Unknown, PinReason::Unclassified),
];

/// Everything that must be noted.
const NOTED: Touches = {
    let mut all = SCRIPTED;
    let mut i = 0;
    while i < PINNED.len() {
        #[expect(
            clippy::indexing_slicing,
            reason = "in a constant, and below the length"
        )]
        let (touch, _) = PINNED[i];
        all = all.with(touch);
        i += 1;
    }
    all
};

/// Texts up to this many bytes are classified faster than they are found in a cache, and texts
/// with constants in them would only fill it.
const CACHED_TEXT: usize = 256;
