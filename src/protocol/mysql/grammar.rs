//! Of what a reply consists, packet by packet (MySQL protocol, "Command Phase"). Says what a
//! packet is, and which comes next; does nothing.

use super::capability::Capabilities;
use super::frame::{Header, MAX_PAYLOAD};
use super::message::{EOF, ERR, LOCAL_INFILE, LONGEST_EOF, OK};

/// Which reply a command gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// OK, EOF or ERR.
    Plain,
    /// One packet of text.
    Line,
    /// Results, as of a text or of a prepared statement that is executed.
    Results,
    /// A statement's number and the definitions of its parameters and columns.
    Prepared,
    /// Rows of a cursor, or definitions of columns: packets up to an end.
    Rows,
}

/// What has been read of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nothing yet, of the reply or of its next result.
    First,
    /// The number of columns; so many definitions are still to come.
    Columns(u64),
    /// The definitions of the columns; an EOF is to come.
    ColumnsEnd,
    /// Rows are coming.
    Rows,
    /// The number of a prepared statement; so many definitions of parameters are to come, and
    /// then so many of columns.
    Parameters(u16, u16),
    /// The definitions of the parameters; an EOF is to come, and then so many columns.
    ParametersEnd(u16),
    /// So many definitions of columns of a prepared statement are still to come.
    PreparedColumns(u16),
    /// The definitions of the columns of a prepared statement; an EOF is to come.
    PreparedColumnsEnd,
    /// The server has asked for a file; its next packet comes when the client has sent it.
    File,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OK: the end of a result.
    Ok,
    /// An end of rows, or of a result without rows, as an EOF.
    Eof,
    /// An end of rows as an OK with another first byte.
    OkEof,
    /// An EOF between definitions and what follows them.
    Divider,
    /// ERR: the end of the reply.
    Err,
    /// The number of columns.
    ColumnCount,
    /// A prepared statement's number.
    Prepared,
    /// The definition of a column or parameter.
    Definition,
    /// A row.
    Row,
    /// A request for a file.
    File,
    /// The text of [`Shape::Line`].
    Line,
}

impl Kind {
    /// True for packets that must be read, and so have to be there as a whole.
    pub const fn is_read(self) -> bool {
        !matches!(self, Self::Definition | Self::Row | Self::Line)
    }
}

/// What the packet with this header and first byte of payload is. `None`: none that may come.
pub fn kind(
    shape: Shape,
    stage: Stage,
    header: Header,
    first: Option<u8>,
    capabilities: Capabilities,
) -> Option<Kind> {
    // A packet without payload is a row without columns at most, and no server sends such.
    let first = first?;
    match stage {
        Stage::First if shape == Shape::Rows => row(header, first, capabilities),
        Stage::First => opening(shape, header, first),
        Stage::Columns(_) | Stage::Parameters(..) | Stage::PreparedColumns(_) => match first {
            ERR => Some(Kind::Err),
            _ => Some(Kind::Definition),
        },
        Stage::ColumnsEnd | Stage::ParametersEnd(_) | Stage::PreparedColumnsEnd => match first {
            EOF if header.len <= LONGEST_EOF => Some(Kind::Divider),
            ERR => Some(Kind::Err),
            _ => None,
        },
        Stage::Rows => row(header, first, capabilities),
        Stage::File => match first {
            OK => Some(Kind::Ok),
            ERR => Some(Kind::Err),
            _ => None,
        },
    }
}

fn opening(shape: Shape, header: Header, first: u8) -> Option<Kind> {
    match (first, shape) {
        (ERR, _) => Some(Kind::Err),
        (_, Shape::Line) => Some(Kind::Line),
        (OK, Shape::Prepared) => Some(Kind::Prepared),
        (OK, _) => Some(Kind::Ok),
        (EOF, Shape::Plain) if header.len <= LONGEST_EOF => {
            // Five bytes of EOF, or seven and more of OK.
            Some(if header.len < SHORTEST_OK {
                Kind::Eof
            } else {
                Kind::OkEof
            })
        }
        (EOF, Shape::Plain) => Some(Kind::OkEof),
        (LOCAL_INFILE, Shape::Results) => Some(Kind::File),
        (_, Shape::Results) if header.len <= LONGEST_COUNT => Some(Kind::ColumnCount),
        _ => None,
    }
}

fn row(header: Header, first: u8, capabilities: Capabilities) -> Option<Kind> {
    let ok = capabilities.has(Capabilities::DEPRECATE_EOF);
    Some(match first {
        ERR => Kind::Err,
        EOF if ok && header.len < MAX_PAYLOAD => Kind::OkEof,
        EOF if !ok && header.len <= LONGEST_EOF => Kind::Eof,
        _ => Kind::Row,
    })
}

impl Stage {
    /// After the number of columns has been read.
    pub const fn columns(count: u64) -> Self {
        Self::Columns(count)
    }

    /// After a prepared statement's number has been read; `None`: nothing follows it.
    pub const fn prepared(parameters: u16, columns: u16) -> Option<Self> {
        match (parameters, columns) {
            (0, 0) => None,
            (0, columns) => Some(Self::PreparedColumns(columns)),
            (parameters, columns) => Some(Self::Parameters(parameters, columns)),
        }
    }

    /// After a definition; `None`: the reply is over.
    pub fn after_definition(self, capabilities: Capabilities) -> Option<Self> {
        let divided = !capabilities.has(Capabilities::DEPRECATE_EOF);
        match self {
            Self::Columns(..=1) if divided => Some(Self::ColumnsEnd),
            Self::Columns(..=1) => Some(Self::Rows),
            Self::Columns(left) => Some(Self::Columns(left - 1)),
            Self::Parameters(..=1, columns) if divided => Some(Self::ParametersEnd(columns)),
            Self::Parameters(..=1, 0) => None,
            Self::Parameters(..=1, columns) => Some(Self::PreparedColumns(columns)),
            Self::Parameters(left, columns) => Some(Self::Parameters(left - 1, columns)),
            Self::PreparedColumns(..=1) if divided => Some(Self::PreparedColumnsEnd),
            Self::PreparedColumns(..=1) => None,
            Self::PreparedColumns(left) => Some(Self::PreparedColumns(left - 1)),
            other => Some(other),
        }
    }

    /// After an EOF between parts; `None`: the reply is over. `cursor`: it says that a cursor is
    /// open, whose rows are fetched later.
    pub const fn after_divider(self, cursor: bool) -> Option<Self> {
        match self {
            Self::ColumnsEnd if cursor => None,
            Self::ColumnsEnd => Some(Self::Rows),
            Self::ParametersEnd(0) => None,
            Self::ParametersEnd(columns) => Some(Self::PreparedColumns(columns)),
            _ => None,
        }
    }
}

/// Header byte, two numbers of at least one byte, status and warnings.
const SHORTEST_OK: usize = 7;

/// A length-encoded number.
const LONGEST_COUNT: usize = 9;

#[cfg(test)]
mod tests {
    use super::{Kind, Shape, Stage, kind};
    use crate::protocol::mysql::capability::Capabilities;
    use crate::protocol::mysql::frame::Header;

    const OLD: Capabilities = Capabilities(0);
    const NEW: Capabilities = Capabilities::DEPRECATE_EOF;

    fn of(shape: Shape, stage: Stage, len: usize, first: u8, caps: Capabilities) -> Option<Kind> {
        kind(shape, stage, Header { len, seq: 1 }, Some(first), caps)
    }

    #[test]
    fn an_end_is_told_from_a_row_by_its_length() {
        for (caps, len, expected) in [
            (OLD, 5, Kind::Eof),
            (OLD, 9, Kind::Row),
            (NEW, 5, Kind::OkEof),
            (NEW, 300, Kind::OkEof),
            (NEW, 0xFF_FFFF, Kind::Row),
        ] {
            let kind = of(Shape::Results, Stage::Rows, len, 0xFE, caps);
            assert_eq!(kind, Some(expected), "{caps:?} {len}");
        }
    }

    #[test]
    fn the_first_packet_depends_on_the_command() {
        let first = |shape, byte| of(shape, Stage::First, 7, byte, NEW);
        assert_eq!(first(Shape::Results, 0), Some(Kind::Ok));
        assert_eq!(first(Shape::Prepared, 0), Some(Kind::Prepared));
        assert_eq!(first(Shape::Results, 3), Some(Kind::ColumnCount));
        assert_eq!(first(Shape::Results, 0xFB), Some(Kind::File));
        assert_eq!(first(Shape::Plain, 0xFE), Some(Kind::OkEof));
        assert_eq!(
            of(Shape::Plain, Stage::First, 5, 0xFE, OLD),
            Some(Kind::Eof)
        );
        assert_eq!(first(Shape::Plain, 3), None);
        assert_eq!(first(Shape::Line, b'U'), Some(Kind::Line));
        assert_eq!(first(Shape::Rows, 0xFF), Some(Kind::Err));
        let empty = Header { len: 0, seq: 1 };
        assert_eq!(kind(Shape::Plain, Stage::First, empty, None, NEW), None);
    }

    #[test]
    fn definitions_are_counted() {
        let stage = Stage::columns(2).after_definition(NEW).unwrap();
        assert_eq!(stage.after_definition(NEW), Some(Stage::Rows));
        assert_eq!(stage.after_definition(OLD), Some(Stage::ColumnsEnd));
        assert_eq!(Stage::ColumnsEnd.after_divider(true), None);
        assert_eq!(Stage::prepared(0, 0), None);
        let stage = Stage::prepared(1, 1).unwrap();
        assert_eq!(stage.after_definition(NEW), Some(Stage::PreparedColumns(1)));
        assert_eq!(Stage::PreparedColumns(1).after_definition(NEW), None);
        let divided = stage.after_definition(OLD).unwrap();
        assert_eq!(
            divided.after_divider(false),
            Some(Stage::PreparedColumns(1))
        );
    }
}
