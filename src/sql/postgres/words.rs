//! The words that matter to classification: commands that open a statement, and functions that touch session state.

use crate::sql::touches::{Touch, Touches};

/// What the first word of a statement announces.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Command {
    /// `SELECT`
    Select,
    /// `SHOW`, `TABLE`, `VALUES`, `WITH`: reads unless words within say otherwise.
    Read,
    Set,
    Reset,
    /// `BEGIN`, `COMMIT` and the other transaction commands, `PREPARE` apart.
    Transaction,
    Prepare,
    Execute,
    Deallocate,
    Discard,
    Declare,
    Close,
    /// `FETCH`, `MOVE`
    Fetch,
    Listen,
    Unlisten,
    Notify,
    Load,
    /// `DO`, `CALL`
    Code,
    Copy,
    Create,
    Explain,
    /// A command of the server that touches no session state but by the functions it calls.
    Plain,
    /// Nothing the server is known to understand.
    Unknown,
}

/// The longest word looked up here, in bytes.
const LONGEST: usize = 39;

/// Lower-cases a word into `buffer`; `None` if it is longer than any word of interest.
fn lowered<'b>(word: &[u8], buffer: &'b mut [u8; LONGEST]) -> Option<&'b [u8]> {
    let lowered = buffer.get_mut(..word.len())?;
    lowered.copy_from_slice(word);
    lowered.make_ascii_lowercase();
    Some(lowered)
}

/// The command that an unquoted first word announces. The list of plain ones is closed
/// (<https://www.postgresql.org/docs/current/sql-commands.html>): a fork's own commands are unknown.
pub(super) fn command(word: &[u8]) -> Command {
    let mut buffer = [0; LONGEST];
    match lowered(word, &mut buffer).unwrap_or_default() {
        b"select" => Command::Select,
        b"show" | b"table" | b"values" | b"with" => Command::Read,
        b"set" => Command::Set,
        b"reset" => Command::Reset,
        b"begin" | b"start" | b"commit" | b"end" | b"rollback" | b"abort" | b"savepoint"
        | b"release" => Command::Transaction,
        b"prepare" => Command::Prepare,
        b"execute" => Command::Execute,
        b"deallocate" => Command::Deallocate,
        b"discard" => Command::Discard,
        b"declare" => Command::Declare,
        b"close" => Command::Close,
        b"fetch" | b"move" => Command::Fetch,
        b"listen" => Command::Listen,
        b"unlisten" => Command::Unlisten,
        b"notify" => Command::Notify,
        b"load" => Command::Load,
        b"do" | b"call" => Command::Code,
        b"copy" => Command::Copy,
        b"create" => Command::Create,
        b"explain" => Command::Explain,
        b"insert" | b"update" | b"delete" | b"merge" | b"truncate" | b"lock" | b"alter"
        | b"drop" | b"grant" | b"revoke" | b"comment" | b"security" | b"vacuum" | b"analyze"
        | b"analyse" | b"cluster" | b"reindex" | b"repack" | b"refresh" | b"checkpoint"
        | b"import" | b"reassign" | b"wait" => Command::Plain,
        _ => Command::Unknown,
    }
}

/// What calling the function of this name may touch. `set_config` is not here: it depends on the
/// arguments.
///
/// Names are those of the server itself and of the extensions it ships
/// (<https://www.postgresql.org/docs/current/functions-admin.html> and its neighbours).
pub(super) fn function(name: &[u8]) -> Touches {
    // Few first letters are of interest, and most calls are of other functions.
    let first = name.first().map(|first| first | 0x20);
    if !matches!(
        first,
        Some(b'c' | b'd' | b'l' | b'n' | b'p' | b'q' | b's' | b't')
    ) {
        return Touches::NONE;
    }
    let mut buffer = [0; LONGEST];
    let Some(name) = lowered(name, &mut buffer) else {
        return Touches::NONE;
    };
    let touch = match name {
        b"nextval" | b"setval" => Touch::SequenceState,
        b"currval" | b"lastval" => Touch::SequenceRecall,
        b"setseed" => Touch::RandomSeed,
        b"pg_notify" => Touch::Notify,
        // pg_trgm: sets pg_trgm.similarity_threshold.
        b"set_limit" => Touch::SetUnknown,
        // Functions that run the query in a string.
        b"query_to_xml"
        | b"query_to_xmlschema"
        | b"query_to_xml_and_xmlschema"
        | b"ts_stat"
        | b"ts_rewrite" => Touch::CodeBlock,
        b"dblink_connect" | b"dblink_connect_u" | b"dblink_disconnect" => Touch::ExternalConnection,
        b"pg_replication_origin_session_setup"
        | b"pg_replication_origin_session_reset"
        | b"pg_create_physical_replication_slot"
        | b"pg_create_logical_replication_slot"
        | b"pg_copy_physical_replication_slot"
        | b"pg_copy_logical_replication_slot"
        | b"pg_backup_start"
        | b"pg_backup_stop"
        | b"pg_start_backup"
        | b"pg_stop_backup" => Touch::ReplicationSession,
        _ if name.starts_with(b"crosstab") => Touch::CodeBlock,
        _ => return advisory(name),
    };
    Touches::of(touch)
}

/// The advisory lock functions, by prefix so that variants yet to come are not missed. Locks of the
/// transaction (`…_xact_…`) are not session state.
fn advisory(name: &[u8]) -> Touches {
    let rest = name
        .strip_prefix(b"pg_advisory_")
        .or_else(|| name.strip_prefix(b"pg_try_advisory_"));
    let Some(rest) = rest else {
        return Touches::NONE;
    };
    if rest.starts_with(b"xact_") {
        Touches::NONE
    } else if rest.starts_with(b"unlock") {
        Touches::of(Touch::AdvisoryUnlock)
    } else {
        Touches::of(Touch::AdvisoryLock)
    }
}

/// Whether an identifier, quotes removed, names the session's temporary schema: `pg_temp`, or
/// `pg_temp_3` as the catalogue has it.
pub(super) fn names_temp_schema(identifier: &[u8]) -> bool {
    identifier
        .get(..7)
        .is_some_and(|head| head.eq_ignore_ascii_case(b"pg_temp"))
        && matches!(identifier.get(7), None | Some(b'_'))
}

/// Whether a value of `search_path` names the temporary schema, so that objects made without a
/// schema may be temporary. A caller that resolves a [`Touch::SetFromParameter`] asks this.
#[must_use]
pub fn path_has_temp_schema(search_path: &[u8]) -> bool {
    let mut words =
        search_path.split(|byte| byte.is_ascii() && !byte.is_ascii_alphanumeric() && *byte != b'_');
    words.any(names_temp_schema)
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, function, names_temp_schema, path_has_temp_schema};
    use crate::sql::touches::Touches;

    #[test]
    fn the_longest_function_fits_the_buffer() {
        for name in [
            "pg_replication_origin_session_reset",
            "pg_replication_origin_session_setup",
        ] {
            assert!(name.len() <= LONGEST);
            assert_ne!(function(name.to_uppercase().as_bytes()), Touches::NONE);
        }
    }

    #[test]
    fn only_the_temporary_schema_itself_counts() {
        assert!(names_temp_schema(b"PG_TEMP") && names_temp_schema(b"pg_temp_12"));
        assert!(!names_temp_schema(b"pg_temporal") && !names_temp_schema(b"pg_tem"));
        assert!(!names_temp_schema(b""));
        assert!(path_has_temp_schema(br#""$user","pg_temp",public"#));
        assert!(!path_has_temp_schema(br#""$user", public"#));
    }
}
