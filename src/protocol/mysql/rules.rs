//! From the classification of SQL text to what it means for multiplexing.

use std::sync::{Arc, LazyLock};

use crate::model::{PinReason, Pins};
use crate::sql::cache::{CacheLimits, VerdictCache};
use crate::sql::mysql::{Mode, Touch, Touches, Verdict, classify};

/// The verdict on a text.
pub fn verdict(text: &[u8], mode: Mode) -> Arc<Verdict> {
    static CACHE: LazyLock<VerdictCache<Verdict, Mode>> =
        LazyLock::new(|| VerdictCache::new(classify, CacheLimits::default()));
    CACHE.get(text, mode)
}

/// Reasons to keep the server connection, from the moment a text or a statement that touches these is sent.
pub fn pins(touches: Touches) -> Pins {
    let mut pins = Pins::NONE;
    for (touch, reason) in PINNED {
        if touches.contains(touch) {
            pins.insert(reason);
        }
    }
    pins
}

/// What keeps a session on its server connection. What the trackers follow does not; nor does
/// `CALL` as such: see [`super::effects`].
const PINNED: [(Touch, PinReason); 21] = [
    (Touch::SetUnsafe, PinReason::Setting),
    (Touch::SetRole, PinReason::Role),
    (Touch::SetResourceGroup, PinReason::Unclassified),
    (Touch::NextTransaction, PinReason::NextTransaction),
    (Touch::UserVariableUnknown, PinReason::UserVariable),
    (Touch::TempTable, PinReason::TempObject),
    (Touch::UserLock, PinReason::AdvisoryLock),
    (Touch::ServiceLock, PinReason::AdvisoryLock),
    (Touch::LockTables, PinReason::TableLock),
    (Touch::FlushLock, PinReason::TableLock),
    (Touch::BackupLock, PinReason::Unclassified),
    (Touch::Handler, PinReason::HeldCursor),
    (Touch::Xa, PinReason::DistributedTransaction),
    (Touch::SqlPrepare, PinReason::SqlPrepare),
    (Touch::SqlExecute, PinReason::SqlPrepare),
    (Touch::Sequence, PinReason::Sequence),
    (Touch::SequenceRead, PinReason::Sequence),
    (Touch::LastInsertIdWrite, PinReason::Sequence),
    (Touch::Profile, PinReason::Unclassified),
    (Touch::Binlog, PinReason::Unclassified),
    (Touch::Unknown, PinReason::Unclassified),
];

/// What a text whose first statement has failed has not left behind.
pub const NOTHING_LEFT_BY_FAILURE: [PinReason; 8] = [
    PinReason::Setting,
    PinReason::Role,
    PinReason::NextTransaction,
    PinReason::TempObject,
    PinReason::TableLock,
    PinReason::HeldCursor,
    PinReason::SqlPrepare,
    PinReason::DistributedTransaction,
];
