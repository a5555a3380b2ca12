//! The words that matter to classification: commands that open a statement, functions and system variables
//! that give away or change session state.

use super::touch::{Touch, Touches};

/// What the first word of a statement announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Command {
    /// `SELECT`, `TABLE`, `VALUES`, `WITH`: reads unless words within say otherwise.
    Read,
    Show,
    /// `EXPLAIN`, `DESCRIBE`
    Explain,
    Analyze,
    /// `INSERT`, `REPLACE`, `UPDATE`, `DELETE`, and what else touches no session state by itself.
    Write,
    /// `LOAD`
    Load,
    Call,
    Do,
    Set,
    /// `BEGIN`, `COMMIT` and the other transaction commands.
    Transaction,
    Xa,
    Lock,
    Unlock,
    Flush,
    Handler,
    Prepare,
    Execute,
    Deallocate,
    Use,
    Kill,
    Create,
    Drop,
    Alter,
    Rename,
    Truncate,
    /// `GRANT`, `CHECK TABLE` and others that only end a transaction.
    Commits,
    /// What concerns the server, not the session.
    Server,
    /// `GET DIAGNOSTICS`
    Get,
    Backup,
    Binlog,
    Help,
    /// Nothing the server is known to understand, or code.
    Unknown,
}

/// The longest word looked up here, in bytes.
const LONGEST: usize = 28;

/// Lower-cases a word into `buffer`; empty if it is longer than any word of interest.
fn lowered<'b>(word: &[u8], buffer: &'b mut [u8; LONGEST]) -> &'b [u8] {
    let Some(lowered) = buffer.get_mut(..word.len()) else {
        return &[];
    };
    lowered.copy_from_slice(word);
    lowered.make_ascii_lowercase();
    lowered
}

/// The command that an unquoted first word announces
/// (<https://dev.mysql.com/doc/refman/9.7/en/sql-statements.html>, <https://mariadb.com/kb/en/sql-statements/>).
pub(super) fn command(word: &[u8]) -> Command {
    let mut buffer = [0; LONGEST];
    match lowered(word, &mut buffer) {
        b"select" | b"with" | b"table" | b"values" => Command::Read,
        b"insert" | b"update" | b"delete" | b"replace" | b"signal" | b"resignal" => Command::Write,
        b"set" => Command::Set,
        b"begin" | b"start" | b"commit" | b"rollback" | b"savepoint" | b"release" => {
            Command::Transaction
        }
        b"show" => Command::Show,
        b"explain" | b"describe" | b"desc" => Command::Explain,
        b"analyze" => Command::Analyze,
        b"load" => Command::Load,
        b"call" => Command::Call,
        b"do" => Command::Do,
        b"xa" => Command::Xa,
        b"lock" => Command::Lock,
        b"unlock" => Command::Unlock,
        b"flush" => Command::Flush,
        b"handler" => Command::Handler,
        b"prepare" => Command::Prepare,
        b"execute" => Command::Execute,
        b"deallocate" => Command::Deallocate,
        b"use" => Command::Use,
        b"kill" => Command::Kill,
        b"create" => Command::Create,
        b"drop" => Command::Drop,
        b"alter" => Command::Alter,
        b"rename" => Command::Rename,
        b"truncate" => Command::Truncate,
        b"grant" | b"revoke" | b"check" | b"checksum" | b"optimize" | b"repair" | b"cache"
        | b"import" => Command::Commits,
        b"install" | b"uninstall" | b"shutdown" | b"restart" | b"change" | b"reset" | b"purge"
        | b"stop" | b"clone" => Command::Server,
        b"get" => Command::Get,
        b"backup" => Command::Backup,
        b"binlog" => Command::Binlog,
        b"help" => Command::Help,
        _ => Command::Unknown,
    }
}

/// What a call of the server's own function touches. `last_insert_id` is told apart by its arguments.
pub(super) fn function(name: &[u8]) -> Touches {
    // Length and first letter leave few candidates.
    let first = name.first().map_or(0, |first| first | 0x20);
    if !matches!(
        (name.len(), first),
        (6, b's') | (7, b'n' | b'l') | (8, b'g') | (9, b'r') | (10, b'f') | (12..=28, _)
    ) {
        return Touches::NONE;
    }
    let mut buffer = [0; LONGEST];
    let touch = match lowered(name, &mut buffer) {
        b"setval" | b"nextval" => Touch::Sequence,
        b"lastval" => Touch::SequenceRead,
        b"get_lock" => Touch::UserLock,
        b"release_lock" | b"release_all_locks" => Touch::UserUnlock,
        b"row_count" => Touch::RowCount,
        b"found_rows" => Touch::FoundRows,
        b"connection_id" | b"is_used_lock" | b"ps_current_thread_id" => Touch::ConnectionId,
        b"service_get_read_locks"
        | b"service_get_write_locks"
        | b"service_release_locks"
        | b"version_tokens_lock_shared"
        | b"version_tokens_lock_exclusive"
        | b"version_tokens_unlock" => Touch::ServiceLock,
        _ => return Touches::NONE,
    };
    Touches::of(touch)
}

/// Whether it is the name of the function that reads or sets the last generated number.
pub(super) fn is_last_insert_id(name: &[u8]) -> bool {
    name.len() == 14 && name.eq_ignore_ascii_case(b"last_insert_id")
}

/// What reading `@@name` touches.
pub(super) fn system_variable(name: &[u8]) -> Touches {
    let mut buffer = [0; LONGEST];
    let touch = match lowered(name, &mut buffer) {
        b"last_insert_id" | b"identity" => Touch::LastInsertIdRead,
        b"warning_count" | b"error_count" => Touch::Diagnostics,
        b"pseudo_thread_id" => Touch::ConnectionId,
        b"last_gtid" => Touch::LastGtid,
        _ => return Touches::NONE,
    };
    Touches::of(touch)
}

/// Whether a word behind `@@` says whose variable is meant.
pub(super) fn is_scope(word: &[u8]) -> bool {
    let mut buffer = [0; LONGEST];
    matches!(
        lowered(word, &mut buffer),
        b"session" | b"local" | b"global" | b"persist" | b"persist_only"
    )
}

/// Whether a word that stands for a value is a function without parentheses.
pub(super) fn is_bare_function(word: &[u8]) -> bool {
    let mut buffer = [0; LONGEST];
    matches!(
        lowered(word, &mut buffer),
        b"current_date"
            | b"current_time"
            | b"current_timestamp"
            | b"current_user"
            | b"current_role"
            | b"localtime"
            | b"localtimestamp"
            | b"utc_date"
            | b"utc_time"
            | b"utc_timestamp"
    )
}

/// What a word behind `CREATE` or `ALTER` says of the object.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Object {
    /// One whose definition may have a body of statements.
    Routine,
    /// Any other.
    Plain,
}

/// The kind of object that a word behind `CREATE` or `ALTER` names, if it is such a word.
pub(super) fn object(word: &[u8]) -> Option<Object> {
    let mut buffer = [0; LONGEST];
    Some(match lowered(word, &mut buffer) {
        b"procedure" | b"function" | b"trigger" | b"event" | b"package" => Object::Routine,
        b"table" | b"view" | b"database" | b"schema" | b"index" | b"user" | b"role" | b"server"
        | b"sequence" | b"tablespace" | b"logfile" | b"resource" | b"library" | b"instance"
        | b"reference" => Object::Plain,
        _ => return None,
    })
}
