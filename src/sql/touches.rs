//! The closed list of session state that a statement may touch, and a set of such touches.
//!
//! A touch says "may", never "did": the caller waits for the command tag, and a touch that takes state away
//! ([`Touch::AdvisoryUnlock`], [`Touch::Unlisten`] …) proves nothing by itself; only a statement's
//! [`Detail`](crate::sql::statement::Detail) does.

use super::closed::closed_set;

closed_set! {
    /// One kind of session state that a statement may touch.
    flag Touch;
    /// A set of [`Touch`]es.
    set Touches;

    /// Settings of the session, all of them named in the statement's detail.
    SetSession = "set_session",
    /// Settings that end with the transaction: `SET LOCAL`, `SET TRANSACTION`, `SET CONSTRAINTS`.
    SetLocal = "set_local",
    /// A session setting whose name is known and whose value is a parameter of the statement. Only a caller that
    /// reads the bound values may treat it as [`Touch::SetSession`], and then asks
    /// [`path_has_temp_schema`](crate::sql::postgres::path_has_temp_schema) about a `search_path`.
    SetFromParameter = "set_from_parameter",
    /// Some session setting, by a name or value that the text does not give.
    SetUnknown = "set_unknown",
    /// The current role.
    SetRole = "set_role",
    /// The session's user.
    SetSessionAuthorization = "set_session_authorization",
    /// `SET SESSION CHARACTERISTICS`: the `default_transaction_*` settings named in the detail.
    SetSessionCharacteristics = "set_session_characteristics",
    /// Temporary tables, views, sequences or anything else in `pg_temp`.
    TempObject = "temp_object",
    /// A cursor that outlives its transaction.
    CursorHold = "cursor_hold",
    /// Any other use of a cursor: declared within a transaction, read, moved, closed.
    Cursor = "cursor",
    /// A channel listened to.
    Listen = "listen",
    /// A channel, or all, no longer listened to.
    Unlisten = "unlisten",
    /// A notification sent; holds nothing.
    Notify = "notify",
    /// An advisory lock of the session.
    AdvisoryLock = "advisory_lock",
    /// Advisory locks of the session given up.
    AdvisoryUnlock = "advisory_unlock",
    /// A library loaded into the server process; it stays for good.
    Load = "load",
    /// A statement prepared by SQL. The inner statement's touches are reported here, when it is prepared.
    SqlPrepare = "sql_prepare",
    /// A statement prepared by SQL is run: whatever its `PREPARE` was reported to touch.
    SqlExecute = "sql_execute",
    /// Statements prepared by SQL or by the protocol given up.
    Deallocate = "deallocate",
    /// `DISCARD ALL`.
    DiscardAll = "discard_all",
    /// `DISCARD PLANS`.
    DiscardPlans = "discard_plans",
    /// `DISCARD SEQUENCES`.
    DiscardSequences = "discard_sequences",
    /// `DISCARD TEMP`.
    DiscardTemp = "discard_temp",
    /// The sequence values that `currval` and `lastval` answer from, written.
    SequenceState = "sequence_state",
    /// The same, read.
    SequenceRecall = "sequence_recall",
    /// The seed of `random()`.
    RandomSeed = "random_seed",
    /// Code that the text does not show as statements: `DO`, `CALL`, functions that run a query given as a string.
    CodeBlock = "code_block",
    /// `COPY`.
    Copy = "copy",
    /// A connection from the server process to elsewhere, kept by name.
    ExternalConnection = "external_connection",
    /// Replication origin, possibly temporary replication slot or base backup, bound to the server process.
    ReplicationSession = "replication_session",
    /// The text cannot be read with certainty: anything may be touched.
    Unknown = "unknown",
}

#[cfg(test)]
mod tests {
    use super::{Touch, Touches};

    #[test]
    fn every_touch_has_its_own_bit_and_name() {
        let all: Touches = Touch::ALL.into_iter().collect();
        assert_eq!(all.iter().count(), Touch::ALL.len());
        let names: std::collections::BTreeSet<_> = all.iter().map(Touch::name).collect();
        assert_eq!(names.len(), Touch::ALL.len());
        // The last declared variant closes the list, so ALL misses none.
        assert_eq!(Touch::Unknown as usize + 1, Touch::ALL.len());
    }

    #[test]
    fn set_operations_agree() {
        let set = Touches::of(Touch::Listen).with(Touch::Copy);
        assert!(set.contains(Touch::Copy) && !set.contains(Touch::Load));
        assert!(set.contains_all(Touches::of(Touch::Listen)));
        assert!(!Touches::of(Touch::Listen).contains_all(set));
        assert!(set.intersects(Touches::of(Touch::Copy).with(Touch::Load)));
        assert_eq!(set.without(Touch::Copy), Touches::of(Touch::Listen));
        assert!(Touches::NONE.is_empty() && !set.is_empty());
        assert_eq!(format!("{set:?}"), r#"{"listen", "copy"}"#);
    }
}
