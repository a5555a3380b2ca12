//! What clients do.

/// One act of a client.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Op {
    Parse(Name, Text),
    /// The parameter makes it fail, if the flag is set.
    Bind(Portal, Name, bool),
    DescribeStatement(Name),
    DescribePortal(Portal),
    /// One row at a time, if the flag is set.
    Execute(Portal, bool),
    CloseStatement(Name),
    ClosePortal(Portal),
    Flush,
    Sync,
    Query(Text),
    /// Two statements.
    Queries(Text, Text),
    /// A simple query that names a statement.
    ByName(ByName, Name),
    /// What forgets everything, alone: nobody pipelines it.
    Forget(Forget),
    Call,
    /// The data is wrong, if the flag is set.
    CopyData(bool),
    CopyDone,
    CopyFail,
    /// Waits for all replies that are due.
    Wait,
    /// Vanishes.
    Leave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Name {
    Unnamed,
    A,
    B,
    /// What Sluice itself might call one.
    Ours,
}

impl Name {
    pub fn text(self) -> &'static str {
        match self {
            Self::Unnamed => "",
            Self::A => "a",
            Self::B => "b",
            Self::Ours => "sluice_1",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Portal {
    Unnamed,
    P,
}

impl Portal {
    pub fn text(self) -> &'static str {
        match self {
            Self::Unnamed => "",
            Self::P => "p",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum ByName {
    Prepare,
    Execute,
    Deallocate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Forget {
    DiscardAll,
    DeallocateAll,
}

/// The text of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Text {
    One,
    Two,
    Three,
    Rows,
    /// Its description is long.
    Wide,
    Nonsense,
    Divide,
    Empty,
    Begin,
    Commit,
    Rollback,
    Savepoint,
    RollbackTo,
    CopyIn,
    CopyOut,
    SetPath,
    SetPathLocal,
    ResetPath,
    SetApplication,
    ResetApplication,
    SetRole,
    SetRoleLocal,
    ResetRole,
    PrepareA,
    ExecuteA,
    DeallocateA,
}

impl Text {
    pub const ALL: [Self; 26] = [
        Self::One,
        Self::Two,
        Self::Three,
        Self::Rows,
        Self::Wide,
        Self::Nonsense,
        Self::Divide,
        Self::Empty,
        Self::Begin,
        Self::Commit,
        Self::Rollback,
        Self::Savepoint,
        Self::RollbackTo,
        Self::CopyIn,
        Self::CopyOut,
        Self::SetPath,
        Self::SetPathLocal,
        Self::ResetPath,
        Self::SetApplication,
        Self::ResetApplication,
        Self::SetRole,
        Self::SetRoleLocal,
        Self::ResetRole,
        Self::PrepareA,
        Self::ExecuteA,
        Self::DeallocateA,
    ];

    pub fn sql(self) -> &'static str {
        match self {
            Self::One => "select 1",
            Self::Two => "select 2",
            Self::Three => "select 3",
            Self::Rows => "select rows",
            Self::Wide => "select wide",
            Self::Nonsense => "selec",
            Self::Divide => "select 1/0",
            Self::Empty => "",
            Self::Begin => "begin",
            Self::Commit => "commit",
            Self::Rollback => "rollback",
            Self::Savepoint => "savepoint s",
            Self::RollbackTo => "rollback to s",
            Self::CopyIn => "copy t from stdin",
            Self::CopyOut => "copy t to stdout",
            Self::SetPath => "set search_path to own",
            Self::SetPathLocal => "set local search_path to mine",
            Self::ResetPath => "reset search_path",
            Self::SetApplication => "set application_name to changed",
            Self::ResetApplication => "reset application_name",
            Self::SetRole => "set role to guest",
            Self::SetRoleLocal => "set local role to visitor",
            Self::ResetRole => "reset role",
            Self::PrepareA => "prepare a as select 7",
            Self::ExecuteA => "execute a",
            Self::DeallocateA => "deallocate a",
        }
    }
}

/// What a client asks for at startup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub enum Startup {
    Plain,
    /// An application name, which the server reports.
    Application,
    /// A search path, which plans depend on.
    Path,
    /// A role, which must be confirmed before anything else.
    Role,
}

impl Startup {
    pub fn settings(self) -> Vec<(String, String)> {
        let pairs: &[(&str, &str)] = match self {
            Self::Plain => &[],
            Self::Application => &[("application_name", "shop")],
            Self::Path => &[("search_path", "s1")],
            Self::Role => &[("role", "clerk"), ("application_name", "desk")],
        };
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(own).collect()
    }
}

/// One client.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub struct Client {
    pub startup: Startup,
    pub ops: Vec<Op>,
}

/// Everything that a run depends on.
#[derive(Clone, Debug)]
#[cfg_attr(fuzzing, derive(arbitrary::Arbitrary))]
pub struct Case {
    /// Each client keeps its server connection.
    pub session_mode: bool,
    /// Most statements that a server connection keeps, less one.
    pub statements: u8,
    /// Server connections, less one.
    pub servers: u8,
    pub clients: Vec<Client>,
    /// Who moves next, and how many bytes.
    pub turns: Vec<(u8, u8)>,
}
