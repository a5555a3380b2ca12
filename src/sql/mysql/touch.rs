//! The closed list of session state that a MySQL or MariaDB statement may touch.
//!
//! As with the other family a touch says "may", never "did". What the servers' own trackers report (schema,
//! session variables, transaction) is listed too: the text tells before the reply does.

use crate::sql::closed::closed_set;

closed_set! {
    /// One kind of session state that a statement may touch.
    flag Touch;
    /// A set of [`Touch`]es.
    set Touches;

    /// Session variables, named in the statement's detail.
    SetSession = "set_session",
    /// Global or persisted variables: no state of the session.
    SetGlobal = "set_global",
    /// Session variables that cannot be carried to another connection ([`Policy::Pin`]).
    ///
    /// [`Policy::Pin`]: crate::sql::mysql::variables::Policy::Pin
    SetUnsafe = "set_unsafe",
    /// `session_track_*`: what the server reports to Sluice.
    SetTracker = "set_tracker",
    /// `SET PASSWORD` and what else changes the login that the connection was made with.
    SetPassword = "set_password",
    /// The roles in force.
    SetRole = "set_role",
    /// The resource group of the server's thread.
    SetResourceGroup = "set_resource_group",
    /// MariaDB's `SET STATEMENT … FOR`: variables for one statement, which trackers report though they are
    /// given back.
    SetStatement = "set_statement",
    /// Modes of the next transaction alone.
    NextTransaction = "next_transaction",
    /// User variables set to constants, all of them named in the detail.
    UserVariable = "user_variable",
    /// User variables, among those that the statement mentions, set to values that the text does not give.
    UserVariableUnknown = "user_variable_unknown",
    /// User variables read, all of them among those that the statement mentions.
    UserVariableRead = "user_variable_read",
    /// The default schema.
    Schema = "schema",
    /// Temporary tables made.
    TempTable = "temp_table",
    /// Temporary tables, or tables that may be such, dropped.
    TempDrop = "temp_drop",
    /// A table gets another name, perhaps a temporary one.
    TableRename = "table_rename",
    /// `GET_LOCK`
    UserLock = "user_lock",
    /// `RELEASE_LOCK`, `RELEASE_ALL_LOCKS`
    UserUnlock = "user_unlock",
    /// Locks of the locking service or of version tokens.
    ServiceLock = "service_lock",
    /// `LOCK TABLES`
    LockTables = "lock_tables",
    /// `UNLOCK TABLES`
    UnlockTables = "unlock_tables",
    /// `LOCK INSTANCE`, `BACKUP STAGE`, `BACKUP LOCK`
    BackupLock = "backup_lock",
    /// `UNLOCK INSTANCE`, `BACKUP STAGE END`, `BACKUP UNLOCK`
    BackupUnlock = "backup_unlock",
    /// `FLUSH TABLES … WITH READ LOCK`, `FLUSH TABLES … FOR EXPORT`
    FlushLock = "flush_lock",
    /// `HANDLER … OPEN` and the use of such
    Handler = "handler",
    /// `HANDLER … CLOSE`
    HandlerClose = "handler_close",
    /// `XA`
    Xa = "xa",
    /// `PREPARE`. What the inner statement touches is reported here, when it is prepared.
    SqlPrepare = "sql_prepare",
    /// `EXECUTE`: whatever its `PREPARE` was reported to touch.
    SqlExecute = "sql_execute",
    /// `DEALLOCATE PREPARE`
    Deallocate = "deallocate",
    /// `CALL`: code that the text does not show.
    Call = "call",
    /// A function is called that is not known as the server's own: code that the text does not show.
    Function = "function",
    /// Rows of a table written: triggers may run, code that the text does not show.
    TableWrite = "table_write",
    /// `DO`
    Do = "do",
    /// `LAST_INSERT_ID()`, `@@last_insert_id`, `@@identity`
    LastInsertIdRead = "last_insert_id_read",
    /// `LAST_INSERT_ID(expr)`, `SET last_insert_id`
    LastInsertIdWrite = "last_insert_id_write",
    /// `NEXTVAL`, `NEXT VALUE FOR`, `SETVAL`
    Sequence = "sequence",
    /// `LASTVAL`, `PREVIOUS VALUE FOR`
    SequenceRead = "sequence_read",
    /// `ROW_COUNT()`
    RowCount = "row_count",
    /// `SQL_CALC_FOUND_ROWS`
    CalcFoundRows = "calc_found_rows",
    /// `FOUND_ROWS()`
    FoundRows = "found_rows",
    /// What the statement before has left: `SHOW WARNINGS`, `SHOW ERRORS`, `GET DIAGNOSTICS`,
    /// `@@warning_count`, `@@error_count`
    Diagnostics = "diagnostics",
    /// `@@last_gtid`
    LastGtid = "last_gtid",
    /// The connection's number: `CONNECTION_ID()`, `@@pseudo_thread_id`, `IS_USED_LOCK()`,
    /// `EXPLAIN FOR CONNECTION`
    ConnectionId = "connection_id",
    /// `SHOW PROCESSLIST`
    ProcessList = "process_list",
    /// `SHOW PROFILE`
    Profile = "profile",
    /// `KILL`
    Kill = "kill",
    /// `LOAD DATA LOCAL`: the server asks the client for a file.
    LoadLocal = "load_local",
    /// The server itself: `INSTALL`, `SHUTDOWN`, `CHANGE REPLICATION SOURCE`, `FLUSH`, `RESET` …
    Server = "server",
    /// Tables, views, routines and other objects of schemas.
    SchemaObjects = "schema_objects",
    /// `DROP DATABASE`: perhaps of the default schema.
    DropDatabase = "drop_database",
    /// `BINLOG`: replays changes together with their session state.
    Binlog = "binlog",
    /// Ends a transaction that is open before it begins.
    ImplicitCommit = "implicit_commit",
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
    }
}
