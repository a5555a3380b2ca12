//! What a client can say, one command at a time.

use std::fmt;

use crate::support::mysql::wire::put_string;

/// A value for a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Null,
    Text(String),
    Int(i64),
    /// Sent beforehand, in parts.
    Long(String),
}

impl Value {
    /// The same, sent with the execution.
    fn whole(&self) -> Self {
        match self {
            Self::Long(text) => Self::Text(text.clone()),
            other => other.clone(),
        }
    }
}

/// A command. Prepared statements are named by the place that the client gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// `{id}` in it is the connection's number.
    Query(String),
    Prepare(usize, String),
    Execute {
        slot: usize,
        values: Vec<Value>,
        cursor: bool,
        /// Types are sent though they have been before.
        again: bool,
    },
    Fetch(usize, u32),
    Reset(usize),
    Close(usize),
    InitDb(&'static str),
    Ping,
    Statistics,
    FieldList(&'static str),
    /// Multi-statements on or off.
    SetOption(bool),
    ResetConnection,
    /// To the same user.
    ChangeUser,
    /// A command that no server knows, or that only says something about the server.
    Other(&'static [u8]),
}

/// A statement as the client knows it.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// The server's number for it.
    pub number: u32,
    pub text: String,
    /// Types have been sent for so many parameters.
    pub typed: Option<Vec<u8>>,
    /// How many parameters it has, if it exists.
    pub parameters: Option<usize>,
    /// It has been executed with a cursor.
    pub cursor: bool,
    /// Which parameters have been numbers.
    pub numbers: Vec<bool>,
}

impl Slot {
    /// A statement that does not exist.
    pub fn nobodys() -> Self {
        Self {
            number: NOBODYS,
            text: String::new(),
            typed: None,
            parameters: None,
            cursor: false,
            numbers: Vec::new(),
        }
    }
}

impl Slot {
    /// One value for each parameter; those that have been numbers stay so.
    fn with_numbers(&self, values: &[Value]) -> Vec<Value> {
        let count = self.parameters.unwrap_or(values.len());
        let values = all(values, count).enumerate();
        let kept = values.map(|(at, value)| match value {
            Value::Text(_) | Value::Long(_) if self.numbers.get(at) == Some(&true) => Value::Int(3),
            value => value.clone(),
        });
        kept.collect()
    }
}

/// As many values as there are parameters.
fn all(values: &[Value], count: usize) -> impl Iterator<Item = &Value> {
    let some = if values.is_empty() {
        &[Value::Null]
    } else {
        values
    };
    some.iter().cycle().take(count)
}

/// A number that no server has given.
pub const NOBODYS: u32 = 7_777_777;

impl Say {
    /// The payloads of the packets to send; each begins a new exchange.
    pub fn payloads(&self, slots: &mut [Slot], id: u32, attributes: bool) -> Vec<Vec<u8>> {
        let of = |slots: &[Slot], kind: u8, slot: usize| {
            [&[kind], &slots[slot].number.to_le_bytes()[..]].concat()
        };
        let payload = match self {
            Self::Query(sql) => {
                let sql = sql.replace("{id}", &id.to_string());
                // One set of no attributes.
                let before: &[u8] = if attributes { &[3, 0, 1] } else { &[3] };
                [before, sql.as_bytes()].concat()
            }
            Self::Prepare(slot, sql) => {
                let sql = sql.replace("{id}", &id.to_string());
                slots[*slot] = Slot {
                    text: sql.clone(),
                    ..Slot::nobodys()
                };
                [&[0x16], sql.as_bytes()].concat()
            }
            Self::Execute {
                slot,
                values,
                cursor,
                again,
            } => return execute(&mut slots[*slot], values, *cursor, *again),
            Self::Fetch(slot, rows) => {
                [&of(slots, 0x1c, *slot)[..], &rows.to_le_bytes()[..]].concat()
            }
            Self::Reset(slot) => of(slots, 0x1a, *slot),
            Self::Close(slot) => {
                let close = of(slots, 0x19, *slot);
                slots[*slot] = Slot::nobodys();
                close
            }
            Self::InitDb(name) => [&[2], name.as_bytes()].concat(),
            Self::Ping => vec![0x0e],
            Self::Statistics => vec![0x09],
            Self::FieldList(table) => [&[4], table.as_bytes(), &[0]].concat(),
            Self::SetOption(on) => vec![0x1b, u8::from(!on), 0],
            Self::ResetConnection => vec![0x1f],
            Self::ChangeUser => Vec::new(),
            Self::Other(bytes) => bytes.to_vec(),
        };
        vec![payload]
    }

    /// The same, or something else where it is about a statement that does not exist: the error
    /// of that is Sluice's own, and no server connection remembers it.
    ///
    /// MariaDB takes long data for a number where there was one in an execution before, and shows where it lies in its
    /// memory.
    ///
    /// MySQL ends the result of an execution without cursor with the header of a row, if there was one with a
    /// cursor before: clients wait for more. It reads a text as a number where there was one in an execution before, and
    /// Sluice's other server connections do not know of that.
    pub fn sensible(&self, slots: &[Slot], mariadb: bool) -> Self {
        match self {
            Self::Execute {
                slot,
                values,
                cursor,
                again,
            } if !mariadb && slots[*slot].numbers.contains(&true) => Self::Execute {
                slot: *slot,
                values: slots[*slot].with_numbers(values),
                cursor: *cursor || slots[*slot].cursor,
                again: *again,
            },
            Self::Execute { slot, .. } | Self::Fetch(slot, _) | Self::Reset(slot)
                if slots[*slot].parameters.is_none() =>
            {
                Self::Query("select id from shared".into())
            }
            Self::Execute {
                slot,
                values,
                cursor: false,
                again,
            } if slots[*slot].cursor && !mariadb => Self::Execute {
                slot: *slot,
                values: values.clone(),
                cursor: true,
                again: *again,
            },
            Self::Execute {
                slot,
                values,
                cursor,
                again,
            } if slots[*slot].typed.is_some() && mariadb => Self::Execute {
                slot: *slot,
                values: values.iter().map(Value::whole).collect(),
                cursor: *cursor,
                again: *again,
            },
            other => other.clone(),
        }
    }

    /// Whether the server answers at all.
    pub fn is_answered(&self) -> bool {
        !matches!(self, Self::Close(_))
    }
}

/// `COM_STMT_EXECUTE` behind one `COM_STMT_SEND_LONG_DATA` for each half of a long value.
fn execute(slot: &mut Slot, values: &[Value], cursor: bool, again: bool) -> Vec<Vec<u8>> {
    slot.cursor |= cursor;
    let number = slot.number.to_le_bytes();
    let count = slot.parameters.unwrap_or(values.len());
    let values: Vec<&Value> = all(values, count).collect();
    slot.numbers.resize(count, false);
    let mut packets = Vec::new();
    let mut nulls = vec![0_u8; values.len().div_ceil(8)];
    let (mut types, mut data) = (Vec::new(), Vec::new());
    for (at, value) in values.iter().enumerate() {
        match value {
            Value::Null => {
                nulls[at / 8] |= 1 << (at % 8);
                // MYSQL_TYPE_NULL is what drivers send; a type sent before stays.
                types.extend([0x06, 0]);
            }
            Value::Text(text) => {
                types.extend([0xfd, 0]);
                put_string(&mut data, text.as_bytes());
            }
            Value::Int(int) => {
                slot.numbers[at] = true;
                types.extend([0x08, 0]);
                data.extend(int.to_le_bytes());
            }
            Value::Long(text) => {
                types.extend([0xfc, 0]);
                let (one, two) = text.as_bytes().split_at(text.len() / 2);
                for part in [one, two] {
                    let at = u16::try_from(at).unwrap().to_le_bytes();
                    packets.push([&[0x18], &number[..], &at[..], part].concat());
                }
            }
        }
    }
    let mut body = [
        &[0x17],
        &number[..],
        &[u8::from(cursor)],
        &1_u32.to_le_bytes(),
    ]
    .concat();
    if !values.is_empty() {
        let known = slot.typed.as_ref() == Some(&types) && !again;
        body.extend(nulls);
        body.push(u8::from(!known));
        if !known {
            body.extend(&types);
        }
        slot.typed = Some(types);
        body.extend(data);
    }
    packets.push(body);
    packets
}

impl fmt::Display for Say {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(sql) => write!(out, "Query({sql})"),
            Self::Prepare(slot, sql) => write!(out, "Prepare({slot}, {sql})"),
            Self::Execute {
                slot,
                values,
                cursor,
                again,
            } => {
                let cursor = if *cursor { ", cursor" } else { "" };
                let again = if *again { ", types" } else { "" };
                write!(out, "Execute({slot}, {values:?}{cursor}{again})")
            }
            Self::Other(bytes) => write!(out, "Other({bytes:?})"),
            other => write!(out, "{other:?}"),
        }
    }
}
