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
        (
            "RESET of a startup option with more behind it",
            resets_amidst(),
        ),
        ("DISCARD ALL with more behind it", discard_amidst()),
        ("SET LOCAL TO DEFAULT of a startup option", local_default()),
        (
            "a transaction's isolation behind RESET of a startup option",
            isolation(),
        ),
        (
            "a name whose statement cannot be prepared any more",
            taken_for_good(),
        ),
        (
            "names in a text that ends a failed transaction",
            behind_the_end(),
        ),
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

fn resets_amidst() -> Script<Act> {
    let asked = vec![("options", "-c search_path=two -c work_mem=5MB")];
    let show = "select current_setting('search_path'), current_setting('work_mem')";
    let texts = [
        "reset search_path; select id, word from shared order by nowhere",
        "set search_path = one; reset search_path; reset work_mem; select current_setting('work_mem'), nowhere",
        "begin; reset all; select current_setting('search_path'); savepoint a",
        "set work_mem = '6MB'; reset all; select current_setting('work_mem'), current_setting('search_path')",
        "rollback to a; reset work_mem; commit",
    ];
    let parts = run("", "reset search_path", 3).into_iter();
    let parts = parts
        .chain(run("q1", show, 0))
        .chain([parse("s1", "select nowhere from shared")]);
    let login = (0, Act::LogIn(asked));
    let said = texts.iter().flat_map(|sql| [query(sql), query(show)]);
    let said = said.chain([batch(parts), query(show)]);
    script([login].into_iter().chain(said.map(|act| (0, act))))
}

fn discard_amidst() -> Script<Act> {
    let asked = vec![
        ("options", "-c search_path=two -c work_mem=5MB"),
        ("TimeZone", "Europe/Rome"),
    ];
    let show = "select current_setting('search_path'), current_setting('work_mem')";
    let discard = || run("", "discard all", 3).into_iter();
    let said = [
        query("set search_path = one"),
        batch(discard().chain(run("q1", show, 0))),
        query(show),
        // What comes behind it is undone, it is not.
        query("set search_path = one"),
        batch(discard().chain([parse("s1", "select nowhere from shared")])),
        query(show),
        batch(discard()),
        query(show),
    ];
    let login = (0, Act::LogIn(asked));
    script(
        [login]
            .into_iter()
            .chain(said.into_iter().map(|act| (0, act))),
    )
}

fn isolation() -> Script<Act> {
    let asked = vec![
        ("options", "-c search_path=two -c work_mem=5MB"),
        ("client_encoding", "LATIN1"),
        ("TimeZone", "Europe/Rome"),
    ];
    let show = "select current_setting('search_path'), current_setting('timezone'), \
                current_setting('transaction_isolation')";
    let texts = [
        "set search_path = one; reset all; begin isolation level repeatable read",
        "rollback",
        "begin; set local timezone to default; set local search_path to default; \
         set transaction isolation level serializable",
        "rollback",
    ];
    let parts = run("", "reset timezone", 3).into_iter();
    let parts = parts.chain(run("", "begin isolation level serializable", 3));
    let login = (0, Act::LogIn(asked));
    let said = texts.iter().flat_map(|sql| [query(sql), query(show)]);
    let said = said.chain([batch(parts), query(show), query("commit"), query(show)]);
    script([login].into_iter().chain(said.map(|act| (0, act))))
}

fn local_default() -> Script<Act> {
    let asked = vec![("DateStyle", "ISO, DMY"), ("TimeZone", "Europe/Rome")];
    let show = "select current_setting('datestyle'), current_setting('timezone')";
    let texts = [
        "set local datestyle to default",
        "begin; set datestyle = 'SQL, MDY'",
        "set local datestyle to default",
        show,
        "set local timezone = default; select current_setting('timezone')",
        "rollback",
        "set timezone = 'UTC'; set local timezone to default; select current_setting('timezone')",
    ];
    let parts = run("", "set local timezone to default", 0).into_iter();
    let batches = [batch(parts.chain(run("q1", show, 0)))];
    let login = (0, Act::LogIn(asked));
    let said = texts.iter().flat_map(|sql| [query(sql), query(show)]);
    let begins = [query("begin; set timezone = 'UTC'")];
    let said = said
        .chain(begins)
        .chain(batches)
        .chain([query("commit"), query(show)]);
    script([login].into_iter().chain(said.map(|act| (0, act))))
}

fn taken_for_good() -> Script<Act> {
    let given_up = run("", "commit", 0).into_iter();
    let given_up = given_up.chain(run("q1", "deallocate prepare s1", 0));
    script([
        (
            0,
            batch([parse("s1", "select id from shared where id = $1")]),
        ),
        (0, query("set search_path to ''")),
        (0, batch([parse("s1", "select 1")])),
        (0, batch(run("", "prepare s1 as select 2", 0))),
        (0, query("prepare s1 as select 3")),
        (0, query("select * from nowhere; deallocate prepare s1")),
        (0, query("execute s1 (1)")),
        (0, query("deallocate s1")),
        (0, batch([parse("s1", "select 4")])),
        (0, query("execute s1")),
        (0, query("begin; select 1/0")),
        (0, batch(given_up)),
    ])
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

fn behind_the_end() -> Script<Act> {
    let typed = Say::Parse {
        name: "s1",
        sql: "select id, word from shared where id = $1 -- the end".into(),
        types: vec![23],
    };
    let prepared = [
        batch([parse("q1", "select 1 as one"), typed]),
        query("prepare \"S_1\" as select 'sql'"),
        query("savepoint nowhere"),
    ];
    let ends = [
        "commit; execute q1; execute \"S_1\"; execute s1 (1)",
        "rollback; prepare q1 as select 2; select 3",
        "commit and chain; execute s1 (2); select nowhere; execute q1",
        "rollback; execute q1; select 'é', nowhere",
        "rollback to a; execute s1 (1); commit",
        "rollback to b; execute s1 (1); commit",
        "rollback; execute q1; select (",
        "select 1; rollback; execute q1",
        "rollback; deallocate q1; execute q1",
        "rollback; deallocate \"S_1\"; prepare \"S_1\" as select 'new'; execute \"S_1\"",
        "commit; deallocate all; execute s1 (1)",
    ];
    let said = ends.iter().flat_map(|end| {
        let begins = ["begin; savepoint a", "select 1/0", end, "rollback"];
        let looks = ["execute q1", "execute \"S_1\"", "execute s1 (1)"];
        begins.into_iter().chain(looks).map(query)
    });
    script(prepared.into_iter().chain(said).map(|act| (0, act)))
}
