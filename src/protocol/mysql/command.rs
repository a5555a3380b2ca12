//! Command bytes: the first byte of a client's packet with sequence number 0 (MySQL protocol,
//! "Command Phase"; `enum_server_command` in `my_command.h`).

/// The client leaves.
pub const QUIT: u8 = 0x01;
/// Another current schema.
pub const INIT_DB: u8 = 0x02;
/// A text of SQL.
pub const QUERY: u8 = 0x03;
/// Columns of a table; deprecated.
pub const FIELD_LIST: u8 = 0x04;
/// Reload or flush caches; deprecated.
pub const REFRESH: u8 = 0x07;
/// Shut the server down; deprecated.
pub const SHUTDOWN: u8 = 0x08;
/// A line of figures.
pub const STATISTICS: u8 = 0x09;
/// The process list; deprecated.
pub const PROCESS_INFO: u8 = 0x0A;
/// Ends another connection; deprecated.
pub const PROCESS_KILL: u8 = 0x0C;
/// Has the server write its state to its log.
pub const DEBUG: u8 = 0x0D;
/// Is anybody there?
pub const PING: u8 = 0x0E;
/// Logs in again, as another user perhaps.
pub const CHANGE_USER: u8 = 0x11;
/// Sends the binary log.
pub const BINLOG_DUMP: u8 = 0x12;
/// Sends a table; obsolete.
pub const TABLE_DUMP: u8 = 0x13;
/// A replica says who it is.
pub const REGISTER_SLAVE: u8 = 0x15;
/// Prepares a statement.
pub const STMT_PREPARE: u8 = 0x16;
/// Runs a prepared statement.
pub const STMT_EXECUTE: u8 = 0x17;
/// Sends part of a parameter; not answered.
pub const STMT_SEND_LONG_DATA: u8 = 0x18;
/// Gives a prepared statement up; not answered.
pub const STMT_CLOSE: u8 = 0x19;
/// Forgets parameters sent, closes the cursor.
pub const STMT_RESET: u8 = 0x1A;
/// Turns multi-statements on or off.
pub const SET_OPTION: u8 = 0x1B;
/// Fetches rows from a cursor.
pub const STMT_FETCH: u8 = 0x1C;
/// Sends the binary log by GTID.
pub const BINLOG_DUMP_GTID: u8 = 0x1E;
/// Returns the session to its state after login.
pub const RESET_CONNECTION: u8 = 0x1F;
/// MariaDB: executes a prepared statement for several rows of parameters.
pub const STMT_BULK_EXECUTE: u8 = 0xFA;
