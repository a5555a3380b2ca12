//! What a client can say, one message at a time.

use std::fmt;

use crate::support::wire::frontend as wire;

/// A message of a client's, or a pause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    Query(String),
    Parse {
        name: &'static str,
        sql: String,
        types: Vec<u32>,
    },
    Bind {
        portal: &'static str,
        statement: &'static str,
        values: Vec<Option<String>>,
        /// Results are asked for in binary.
        binary: bool,
    },
    DescribeStatement(&'static str),
    DescribePortal(&'static str),
    /// Rows at most; 0: all.
    Execute(&'static str, u32),
    CloseStatement(&'static str),
    ClosePortal(&'static str),
    Flush,
    Sync,
    CopyData(String),
    CopyDone,
    CopyFail,
    /// `abs(int4)` with this argument.
    Call(&'static str),
    /// Not a message: all replies that are due are waited for.
    Wait,
}

/// `abs(integer)` in `pg_proc.dat`.
const ABS: u32 = 1397;

impl Say {
    /// The message's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Query(sql) => wire::query(sql),
            Self::Parse { name, sql, types } => wire::parse_typed(name, sql, types),
            Self::Bind {
                portal,
                statement,
                values,
                binary,
            } => bind(portal, statement, values, *binary),
            Self::DescribeStatement(name) => wire::describe_statement(name),
            Self::DescribePortal(name) => wire::describe_portal(name),
            Self::Execute(portal, rows) => wire::execute(portal, *rows),
            Self::CloseStatement(name) => wire::close_statement(name),
            Self::ClosePortal(name) => wire::close_portal(name),
            Self::Flush => wire::flush(),
            Self::Sync => wire::sync(),
            Self::CopyData(data) => wire::copy_data(data.as_bytes()),
            Self::CopyDone => wire::copy_done(),
            Self::CopyFail => wire::copy_fail("changed my mind"),
            Self::Call(argument) => wire::function_call(ABS, &[argument]),
            Self::Wait => Vec::new(),
        }
    }
}

fn bind(portal: &str, statement: &str, values: &[Option<String>], binary: bool) -> Vec<u8> {
    let values: Vec<Option<&[u8]>> = values
        .iter()
        .map(|value| value.as_deref().map(str::as_bytes))
        .collect();
    let mut message = wire::bind(portal, statement, &values);
    if binary {
        // One format code, which stands for all columns: 1.
        message.truncate(message.len() - 2);
        message.extend([0, 1, 0, 1]);
        let length = u32::try_from(message.len() - 1).unwrap();
        message[1..5].copy_from_slice(&length.to_be_bytes());
    }
    message
}

impl fmt::Display for Say {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(sql) => write!(out, "Query({sql})"),
            Self::Parse { name, sql, types } if types.is_empty() => {
                write!(out, "Parse({name:?}, {sql})")
            }
            Self::Parse { name, sql, types } => write!(out, "Parse({name:?}, {sql}, {types:?})"),
            Self::Bind {
                portal,
                statement,
                values,
                binary,
            } => {
                let binary = if *binary { ", binary" } else { "" };
                write!(out, "Bind({portal:?}, {statement:?}, {values:?}{binary})")
            }
            Self::DescribeStatement(name) => write!(out, "DescribeStatement({name:?})"),
            Self::DescribePortal(name) => write!(out, "DescribePortal({name:?})"),
            Self::Execute(portal, rows) => write!(out, "Execute({portal:?}, {rows})"),
            Self::CloseStatement(name) => write!(out, "CloseStatement({name:?})"),
            Self::ClosePortal(name) => write!(out, "ClosePortal({name:?})"),
            Self::Flush => write!(out, "Flush"),
            Self::Sync => write!(out, "Sync"),
            Self::CopyData(data) => write!(out, "CopyData({data:?})"),
            Self::CopyDone => write!(out, "CopyDone"),
            Self::CopyFail => write!(out, "CopyFail"),
            Self::Call(argument) => write!(out, "Call(abs, {argument:?})"),
            Self::Wait => write!(out, "Wait"),
        }
    }
}
