//! From the classification of SQL text to what it means for multiplexing: which settings it
//! changes, and whether it leaves anything behind that cannot be carried to another connection.

use std::ops::Range;
use std::sync::{Arc, LazyLock};

use crate::model::{PinReason, Pins};
use crate::sql::cache::{CacheLimits, VerdictCache};
use crate::sql::lexer::{Lexer, Quoting};
use crate::sql::postgres::classify;
use crate::sql::statement::{Detail, SettingAction, TransactionControl, Verdict, Which};
use crate::sql::touches::{Touch, Touches};

pub use crate::sql::fingerprint::fingerprint;

/// What executing a text does to the session.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    /// Reasons to keep the server connection, from the moment the text is sent.
    pub pins: Pins,
    /// The statements, where the session's model must follow them one by one; `None` where none
    /// of them changes a setting or the transaction.
    pub script: Option<Arc<Verdict>>,
    /// It may give up what pins.
    pub gives_up: bool,
    /// It may run code of users, which may do anything.
    pub may_call: bool,
}

/// True if the text takes away what later requests may build on: they wait until it is done.
pub fn clears_the_table(verdict: &Verdict) -> bool {
    verdict
        .touches
        .intersects(Touches::of(Touch::Deallocate).with(Touch::DiscardAll))
}

/// The name that an EXECUTE, which is all of `text`, runs, and where it stands in the text.
pub fn executed(text: &[u8]) -> Option<(Box<str>, Range<usize>)> {
    let mut tokens = Lexer::new(text, Quoting::Standard);
    if !tokens.next()?.is_word(b"execute") {
        return None;
    }
    let name = tokens.next()?;
    match &*classify(text).statements {
        [only] => match &only.detail {
            Detail::SqlExecute(Which::One(folded)) => {
                Some((folded.clone(), name.start..name.end()))
            }
            _ => None,
        },
        _ => None,
    }
}

/// True if the text begins with one of these words, given in lower case.
pub fn first_word_is(text: &[u8], words: &[&[u8]]) -> bool {
    let first = Lexer::new(text, Quoting::Standard).next();
    first.is_some_and(|first| words.iter().any(|word| first.is_word(word)))
}

/// What executing `text` does.
pub fn effects(text: &[u8]) -> Effects {
    if text.len() <= CACHED_TEXT {
        let verdict = classify(text);
        if !matters(&verdict) {
            return Effects {
                gives_up: verdict.touches.intersects(GIVES_UP),
                may_call: verdict.may_call,
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

fn of(verdict: Arc<Verdict>) -> Effects {
    let mut pins = Pins::NONE;
    for (touch, reason) in PINNED {
        if verdict.touches.contains(touch) {
            pins.insert(reason);
        }
    }
    let untracked = verdict
        .statements
        .iter()
        .any(|statement| match &statement.detail {
            Detail::Settings(changes) => changes.iter().any(|change| {
                matches!(
                    change.action,
                    SettingAction::FromCurrent | SettingAction::Parameter(_)
                ) || !is_tracked(&change.name)
            }),
            _ => statement.touches.intersects(SETS),
        });
    if untracked {
        pins.insert(PinReason::Setting);
    }
    let scripted = verdict.touches.intersects(SCRIPTED) || !is_plain(&verdict);
    Effects {
        pins,
        gives_up: verdict.touches.intersects(GIVES_UP),
        may_call: verdict.may_call,
        script: scripted.then_some(verdict),
    }
}

/// Settings whose replay means the same as the first time. `session_authorization` and `role`
/// have statements of their own and pin; the seed is state, not a value.
fn is_tracked(name: &str) -> bool {
    !matches!(
        name,
        "role"
            | "session_authorization"
            | "seed"
            | "transaction_isolation"
            | "transaction_read_only"
            | "transaction_deferrable"
    )
}

/// Statements that change settings of the session.
const SETS: Touches = Touches::of(Touch::SetSession)
    .with(Touch::SetSessionCharacteristics)
    .with(Touch::SetFromParameter)
    .with(Touch::SetUnknown);

/// Statements whose success changes what is known of the session.
const SCRIPTED: Touches = SETS
    .with(Touch::Deallocate)
    .with(Touch::DiscardAll)
    .with(Touch::Unlisten);

/// Statements after which a session may hold less than before. What tags tell (`DROP TABLE`, `CLOSE
/// CURSOR`) is heeded when they come: see `inspect`.
const GIVES_UP: Touches = Touches::of(Touch::AdvisoryUnlock)
    .with(Touch::Unlisten)
    .with(Touch::Deallocate)
    .with(Touch::DiscardTemp);

/// Which touch is a reason to pin.
const PINNED: [(Touch, PinReason); 17] = [
    (Touch::SetFromParameter, PinReason::Setting),
    (Touch::SetUnknown, PinReason::Setting),
    (Touch::SetRole, PinReason::Role),
    (Touch::SetSessionAuthorization, PinReason::Role),
    (Touch::TempObject, PinReason::TempObject),
    (Touch::CursorHold, PinReason::HeldCursor),
    (Touch::Listen, PinReason::Listen),
    (Touch::AdvisoryLock, PinReason::AdvisoryLock),
    (Touch::Load, PinReason::Load),
    (Touch::SqlPrepare, PinReason::SqlPrepare),
    (Touch::SqlExecute, PinReason::SqlPrepare),
    (Touch::SequenceState, PinReason::Sequence),
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
