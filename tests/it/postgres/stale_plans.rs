//! Prepared statements whose tables change: clients get the columns that they were told of, or hear
//! that they have changed.

use crate::support::{
    postgres::Database,
    sluice::{Sluice, is_direct},
    wire::{
        Wire,
        backend::{Message, column, error, words},
        frontend::{bind, describe_portal, describe_statement, execute, parse, run_named, sync},
    },
};

const ALL: &str = "select * from changing";

/// Clients that share `pool` server connections, and a table of one column.
fn set_up(pool: u32) -> (Database, Sluice, Wire, Wire) {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, pool);
    let (one, two) = (proxy.connect(&database), proxy.connect(&database));
    let mut admin = database.admin();
    admin.succeed("create table changing (a int); insert into changing values (1)");
    admin.succeed("grant all on changing to app");
    (database, proxy, one, two)
}

fn prepare(wire: &mut Wire, described: bool) {
    let describe = if described {
        describe_statement("s")
    } else {
        Vec::new()
    };
    let reply = wire.ask(&[parse("s", ALL), describe, sync()].concat());
    assert_eq!(error(&reply), None);
}

fn run_described(wire: &mut Wire) -> Vec<Message> {
    let batch = [
        bind("", "s", &[]),
        describe_portal(""),
        execute("", 0),
        sync(),
    ];
    wire.ask(&batch.concat())
}

fn run_plain(wire: &mut Wire) -> Vec<Message> {
    wire.ask(&[run_named("s", &[]), sync()].concat())
}

#[test]
fn who_knows_the_columns_is_told_that_they_have_changed() {
    // Whichever server connection it is that runs it.
    for pool in [1, 2] {
        let (database, _proxy, mut one, mut two) = set_up(pool);
        prepare(&mut one, true);
        assert_eq!(column(&run_plain(&mut one)), ["1"]);
        database
            .admin()
            .succeed("alter table changing add b int default 2");
        two.succeed("begin");
        two.succeed("select 1");
        let reply = if pool == 1 {
            two.succeed("commit");
            run_plain(&mut one)
        } else {
            // The other connection has never seen the statement.
            run_plain(&mut one)
        };
        assert_eq!(words(&reply), ["Error(0A000)", "Ready(I)"]);
        assert_eq!(reply[0].field(b'R'), "RevalidateCachedQuery");
        assert_eq!(words(&run_plain(&mut one)), ["Error(0A000)", "Ready(I)"]);
    }
}

#[test]
fn a_connection_that_never_saw_the_statement_asks_before_it_runs_it() {
    let (database, proxy, mut one, mut two) = set_up(2);
    prepare(&mut one, true);
    database
        .admin()
        .succeed("alter table changing add b int default 2");
    // Both server connections are taken in turn.
    for _ in 0..4 {
        two.succeed("begin");
        let reply = run_plain(&mut one);
        assert_eq!(words(&reply), ["Error(0A000)", "Ready(I)"]);
        one.succeed("begin");
        two.succeed("commit");
        two.succeed("select 1");
        one.succeed("rollback");
    }
    let mut new = proxy.connect(&database);
    prepare(&mut new, true);
    assert_eq!(column(&run_plain(&mut new)), ["1"]);
}

#[test]
fn who_asks_for_the_columns_does_not_notice() {
    if is_direct() {
        return;
    }
    let (database, proxy, mut one, _two) = set_up(1);
    prepare(&mut one, true);
    assert_eq!(column(&run_described(&mut one)), ["1"]);
    database
        .admin()
        .succeed("alter table changing drop a, add b int default 2");
    let reply = run_described(&mut one);
    assert_eq!(error(&reply), None);
    assert_eq!(column(&reply), ["2"]);
    // From here on it knows the new ones.
    assert_eq!(column(&run_plain(&mut one)), ["2"]);
    database
        .admin()
        .succeed("alter table changing drop b, add c int default 3");
    let mut new = proxy.connect(&database);
    let batch = [parse("n", ALL), describe_statement("n"), sync()].concat();
    let reply = new.ask(&batch);
    assert_eq!(
        words(&reply),
        ["ParseComplete", "ParameterTypes", "Fields", "Ready(I)"]
    );
    assert_eq!(
        column(&new.ask(&[run_named("n", &[]), sync()].concat())),
        ["3"]
    );
}

#[test]
fn within_a_transaction_the_error_is_the_servers() {
    let (database, _proxy, mut one, _two) = set_up(1);
    prepare(&mut one, true);
    assert_eq!(column(&run_described(&mut one)), ["1"]);
    database
        .admin()
        .succeed("alter table changing add b int default 2");
    one.succeed("begin");
    assert_eq!(
        words(&run_described(&mut one)),
        ["Error(0A000)", "Ready(E)"]
    );
    one.succeed("rollback");
}
