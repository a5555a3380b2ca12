//! Scripts that once showed a difference.

use super::{Act, say::Say};
use crate::differential::script::Script;

/// Each by what it is about.
pub fn known() -> Vec<(&'static str, Script<Act>)> {
    vec![
        ("what a suspended portal has set", suspended()),
        ("what RESET reports of startup options", resets()),
        (
            "EXECUTE of a statement of the protocol after a failure",
            execute(),
        ),
        (
            "the unnamed statement behind DISCARD SEQUENCES",
            sequences(),
        ),
        ("Parse behind DEALLOCATE ALL", deallocate()),
        ("PREPARE of a name that the protocol has", prepare()),
    ]
}

fn script(acts: impl IntoIterator<Item = (usize, Act)>) -> Script<Act> {
    let logins = [0, 1].map(|client| (client, Act::LogIn(Vec::new())));
    Script {
        clients: 2,
        acts: logins.into_iter().chain(acts).collect(),
    }
}

fn query(sql: &str) -> Act {
    Act::Say(vec![Say::Query(sql.into())])
}

fn parse(name: &'static str, sql: &str) -> Say {
    Say::Parse {
        name,
        sql: sql.into(),
        types: Vec::new(),
    }
}

fn bind(statement: &'static str) -> Say {
    Say::Bind {
        portal: "",
        statement,
        values: Vec::new(),
        binary: false,
    }
}

fn run(name: &'static str, sql: &str, rows: u32) -> [Say; 3] {
    [parse(name, sql), bind(name), Say::Execute("", rows)]
}

fn batch(parts: impl IntoIterator<Item = Say>) -> Act {
    Act::Say(parts.into_iter().chain([Say::Sync]).collect())
}

fn suspended() -> Script<Act> {
    let set = "select set_config('array_nulls', 'off', false)";
    let look = "select current_setting('array_nulls')";
    let looks = [1, 0, 1, 0, 1, 1, 0].map(|client| (client, query(look)));
    script([(0, batch(run("", set, 1)))].into_iter().chain(looks))
}

fn resets() -> Script<Act> {
    let asked = vec![("TimeZone", "Europe/Rome"), ("DateStyle", "ISO, DMY")];
    let texts = [
        "reset all",
        "set timezone = 'Asia/Tokyo'",
        "discard all",
        "begin; set datestyle = 'SQL, MDY'",
        "reset all",
        "select current_setting('timezone'), current_setting('datestyle')",
        "rollback",
        "show datestyle",
    ];
    let login = (0, Act::LogIn(asked));
    script([login].into_iter().chain(texts.map(|sql| (0, query(sql)))))
}

fn execute() -> Script<Act> {
    let held = "declare c cursor with hold for select id from shared order by id";
    script([
        (0, batch([parse("S_1", held)])),
        (0, query("begin; select 1/0")),
        (0, query("execute \"S_1\" (3)")),
        (0, query("deallocate \"S_1\"")),
        (0, query("rollback")),
        (0, query("select 1; execute \"S_1\"")),
    ])
}

fn sequences() -> Script<Act> {
    let next = |client| format!("select nextval('seq_{client}')");
    let looks = [0, 1].map(|client| (client, query(&next(client))));
    let both = [0, 1].map(|client| (client, batch(run("", &next(client), 0))));
    let last = [0, 1].map(|client| (client, batch(run("", "select lastval()", 0))));
    let others = [0, 1].map(|client| (client, query("discard all")));
    let acts = looks.into_iter().chain(last.clone()).chain(others.clone());
    script(acts.chain(both).chain(last).chain(others))
}

fn deallocate() -> Script<Act> {
    let all = run("s1", "deallocate all", 0);
    let behind = parse("q1", "select 1");
    script([
        (0, batch(all.into_iter().chain([behind]))),
        (0, batch([bind("q1"), Say::Execute("", 0)])),
        (0, batch([bind("s1")])),
    ])
}

fn prepare() -> Script<Act> {
    script([
        (0, batch([parse("s1", "select 1")])),
        (0, query("prepare s1 as select 2")),
        (0, query("prepare q1 as select 3")),
        (0, batch([parse("q1", "select 4")])),
        (1, query("execute s1")),
        (0, query("execute s1; execute q1")),
    ])
}
