//! What every client does: log in, ask, prepare, be told of errors.

use crate::support::{
    mysql::{
        Database, Kind, MySql, USERS,
        login::Login,
        message::{Reply, capability, status},
        wire::{Prepared, Wire, execution},
    },
    sluice::Sluice,
};

on_both!(
    users_of_every_plugin_log_in,
    a_wrong_password_is_refused,
    texts_are_answered_with_and_without_eof_packets,
    statements_are_prepared_and_executed,
    cursors_are_fetched_in_parts,
    a_file_of_the_client_is_loaded,
    a_file_behind_other_results_is_loaded,
    packets_over_16_megabytes_pass,
    a_connection_changes_its_user,
);

fn setting(kind: Kind) -> (Database, Sluice) {
    let database = Database::new(kind);
    let proxy = Sluice::with_pool(&database, 2);
    (database, proxy)
}

fn users_of_every_plugin_log_in(kind: Kind) {
    let (database, proxy) = setting(kind);
    for (user, plugin) in kind.users() {
        // Which the raw client cannot do by itself; drivers log in by them elsewhere.
        if matches!(*plugin, "client_ed25519" | "parsec") {
            continue;
        }
        let login = Login::new(proxy.port, &database.name, *user).with_tls();
        for login in [login.clone(), login.plugin(plugin)] {
            let mut client = Wire::connect(&login).unwrap();
            let shown = client.value("select concat(user(), ' ', database())");
            assert_eq!(shown, format!("{}@127.0.0.1 {}", user.0, database.name));
        }
    }
}

fn a_wrong_password_is_refused(kind: Kind) {
    let (database, proxy) = setting(kind);
    for user in [USERS[1].0, "nobody"] {
        let login = Login::new(proxy.port, &database.name, (user, "wrong")).with_tls();
        let refused = Wire::connect(&login).err().unwrap();
        assert_eq!(refused.code(), 1045);
    }
    let mut client = proxy.connect(&database);
    assert_eq!(client.value("select 1"), "1");
}

fn texts_are_answered_with_and_without_eof_packets(kind: Kind) {
    let (database, proxy) = setting(kind);
    let login = proxy.login(&database);
    for login in [login.clone(), login.without(capability::DEPRECATE_EOF)] {
        let mut client = Wire::connect(&login).unwrap();
        client.succeed("create table t (id int primary key auto_increment, name varchar(20))");
        let Reply::Ok(inserted) = client.ask("insert into t (name) values ('a'), ('é'), (null)")
        else {
            panic!("no OK");
        };
        assert_eq!((inserted.affected, inserted.last_insert_id), (3, 1));
        assert!(inserted.info.starts_with("Records: 3"), "{inserted:?}");
        assert_eq!(
            client.column("select name from t order by id"),
            ["a", "é", "NULL"]
        );
        let replies = client.succeed("select 1; do 1; select id from t where id > 1");
        assert_eq!(replies.len(), 3);
        assert_eq!(replies[2].first_column(), ["2", "3"]);
        assert_eq!(client.fail("select nothing").code, 1054);
        client.succeed("begin");
        let reply = client.ask("select count(*) from t");
        assert_ne!(reply.status() & status::IN_TRANSACTION, 0);
        client.succeed("rollback");
        client.succeed("drop table t");
    }
}

fn statements_are_prepared_and_executed(kind: Kind) {
    let (database, proxy) = setting(kind);
    let login = proxy.login(&database);
    for login in [login.clone(), login.without(capability::DEPRECATE_EOF)] {
        let mut client = Wire::connect(&login).unwrap();
        let Prepared {
            id,
            columns,
            parameters,
            ..
        } = client.prepare("select ?, concat(?, '!')");
        assert_eq!((columns, parameters), (2, 2));
        for word in ["hi", "ho"] {
            let replies = client.execute(id, &[None, Some(word)]).unwrap();
            let [Reply::Rows { rows, .. }] = &replies[..] else {
                panic!("{replies:?}");
            };
            // Header, a NULL in the first column, a text of three bytes.
            let row = [&[0, 0b100, 3], word.as_bytes(), b"!"].concat();
            assert_eq!(rows, &[row]);
        }
        let failure = client.try_prepare("select nothing").unwrap().unwrap_err();
        assert_eq!(failure.code, 1054);
        // A statement that nobody has prepared.
        let replies = client.execute(77, &[]).unwrap();
        assert_eq!(replies[0].failure().unwrap().code, 1243);
    }
}

fn cursors_are_fetched_in_parts(kind: Kind) {
    let (database, proxy) = setting(kind);
    let login = proxy.login(&database);
    for login in [login.clone(), login.without(capability::DEPRECATE_EOF)] {
        let mut client = Wire::connect(&login).unwrap();
        let prepared = client.prepare("select 1 union all select 2 union all select 3");
        client
            .command(&execution(prepared.id, 1, &[], true))
            .unwrap();
        let opened = client.read_replies().unwrap();
        assert_ne!(opened[0].status() & status::CURSOR_EXISTS, 0, "{opened:?}");
        let fetch = [&[0x1c], &prepared.id.to_le_bytes()[..], &[2, 0, 0, 0]].concat();
        for (count, last) in [(2, false), (1, true)] {
            client.command(&fetch).unwrap();
            let (rows, end) = client.read_row_packets().unwrap();
            assert_eq!(rows.len(), count);
            assert_eq!(end.unwrap().status & status::LAST_ROW_SENT != 0, last);
        }
    }
}

fn a_file_of_the_client_is_loaded(kind: Kind) {
    let (database, proxy) = setting(kind);
    let mut client = proxy.connect(&database);
    client.succeed("create table t (id int, name varchar(20))");
    let rows: String = (0..50_000)
        .map(|row| format!("{row}\tname {row}\n"))
        .collect();
    client.files.insert("rows".into(), rows.into_bytes());
    let reply = client.ask("load data local infile 'rows' into table t");
    let Reply::Ok(loaded) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(loaded.affected, 50_000);
    // A file that the client does not have is an empty one.
    client.succeed("load data local infile 'nothing' into table t");
    assert_eq!(client.value("select count(*) from t"), "50000");
}

/// Sluice's packets before the question for the file may be more, or fewer, than the server's.
fn a_file_behind_other_results_is_loaded(kind: Kind) {
    let (database, proxy) = setting(kind);
    let login = proxy.login(&database);
    for less in [0, capability::DEPRECATE_EOF] {
        let login = login.clone().without(less);
        let mut client = Wire::connect(&login.with(capability::MULTI_STATEMENTS)).unwrap();
        client.succeed("drop table if exists t");
        client.succeed("create table t (id int)");
        let rows: String = (0..50_000).map(|row| format!("{row}\n")).collect();
        client.files.insert("rows".into(), rows.into_bytes());
        let load = "load data local infile 'rows' into table t";
        let replies = client.succeed(&format!(
            "select 1, 2; select 3; {load}; {load}; select count(*) from t; {load}"
        ));
        let loaded = |reply: &Reply| match reply {
            Reply::Ok(loaded) => loaded.affected,
            other => panic!("{other:?}"),
        };
        assert_eq!(replies.len(), 6);
        for at in [2, 3, 5] {
            assert_eq!(loaded(&replies[at]), 50_000);
        }
        assert_eq!(replies[4].first_column(), ["100000"]);
        assert_eq!(client.value("select count(*) from t"), "150000");
    }
}

fn packets_over_16_megabytes_pass(kind: Kind) {
    let (database, proxy) = setting(kind);
    let mut client = proxy.connect(&database);
    for length in [0xff_ffff - 20, 0xff_ffff, 20_000_000, 2 * 0xff_ffff] {
        let padding = "x".repeat(length);
        let reply = client.ask(&format!(
            "select length('{padding}'), repeat('y', {length})"
        ));
        let rows = reply.text_rows();
        assert_eq!(rows[0][0].as_deref(), Some(&*length.to_string()));
        assert_eq!(rows[0][1].as_ref().unwrap().len(), length);
    }
}

fn a_connection_changes_its_user(kind: Kind) {
    let (database, proxy) = setting(kind);
    let mut client = proxy.connect(&database);
    client.succeed("set @a = 1");
    let mut login = proxy.login(&database);
    (login.user, login.password) = ("other".into(), "other secret".into());
    client.change_user(&login).unwrap();
    let shown = client.value("select concat(user(), ' ', database(), ' ', @a is null)");
    assert_eq!(shown, format!("other@127.0.0.1 {} 1", database.name));
    assert!(matches!(client.simple(&[0x1f]).unwrap(), Reply::Ok(_)));
    assert!(matches!(client.simple(&[0x0e]).unwrap(), Reply::Ok(_)));
    drop(client);
    let mut admin = MySql::shared(kind).admin();
    assert_eq!(admin.value("select 1"), "1");
}
