//! Roles and session users: each client's statements run under its own, on one server connection.

use crate::support::{
    postgres::{ADMIN, Database},
    sluice::{Settings, Sluice, is_direct},
    wire::{
        Login, Wire,
        backend::{column, words},
        frontend::{run_unnamed, sync},
    },
};

const WHO: &str = "select session_user || ' as ' || current_user";

/// A role that `app` may take on, dropped with the value. Roles belong to the whole server, which
/// all tests share.
struct Clerk {
    server_port: u16,
    name: String,
}

impl Clerk {
    fn new(database: &Database) -> Self {
        let name = format!("clerk_{}", database.name);
        let mut admin = database.admin();
        admin.succeed(&format!("create role {name}"));
        admin.succeed(&format!("grant {name} to app"));
        Self {
            server_port: database.server_port,
            name,
        }
    }
}

impl Drop for Clerk {
    fn drop(&mut self) {
        let login = Login::new(self.server_port, "postgres", ADMIN);
        if let Ok(mut admin) = Wire::connect(&login) {
            admin.simple(&format!("drop role {}", self.name));
        }
    }
}

/// A database, a role for its owner, and a proxy with one server connection.
fn one_connection() -> (Database, Clerk, Sluice) {
    let database = Database::new();
    let clerk = Clerk::new(&database);
    let proxy = Sluice::with_pool(&database, 1);
    (database, clerk, proxy)
}

#[test]
fn clients_of_different_roles_share_one_server_connection() {
    let (database, clerk, proxy) = one_connection();
    let (mut one, mut other) = (proxy.connect(&database), proxy.connect(&database));
    let mut third = proxy.connect(&database);
    let name = &clerk.name;
    one.succeed(&format!("set role {name}"));
    third.succeed(&format!("select set_config('role', '{name}', false)"));
    third.succeed("reset role");
    for _ in 0..3 {
        assert_eq!(one.value(WHO), format!("app as {name}"));
        assert_eq!(other.value(WHO), "app as app");
        assert_eq!(third.value(WHO), "app as app");
    }
    one.succeed("set role none");
    assert_eq!(one.value(WHO), "app as app");
}

#[test]
fn a_role_is_bound_as_a_parameter() {
    let (database, clerk, proxy) = one_connection();
    let (mut one, mut other) = (proxy.connect(&database), proxy.connect(&database));
    let set = run_unnamed("select set_config('role', $1, false)", &[&clerk.name]);
    assert_eq!(column(&one.ask(&[set, sync()].concat())), [&*clerk.name]);
    assert_eq!(other.value(WHO), "app as app");
    assert_eq!(one.value(WHO), format!("app as {}", clerk.name));
}

#[test]
fn a_role_of_a_transaction_ends_with_it() {
    let (database, clerk, proxy) = one_connection();
    let (mut one, mut other) = (proxy.connect(&database), proxy.connect(&database));
    let set = format!("set local role {}", clerk.name);
    one.succeed(&format!("begin; {set}"));
    assert_eq!(one.value("select current_user"), clerk.name);
    one.succeed("commit");
    assert_eq!(other.value(WHO), "app as app");
    assert_eq!(one.value(WHO), "app as app");
    one.succeed(&format!("begin; savepoint s; set role {}", clerk.name));
    one.succeed("rollback to s");
    assert_eq!(one.value(WHO), "app as app");
    one.succeed(&format!("set role {}", clerk.name));
    one.succeed("rollback");
    assert_eq!(other.value(WHO), "app as app");
    assert_eq!(one.value(WHO), "app as app");
}

#[test]
fn reset_all_leaves_the_role_and_discard_all_does_not() {
    let (database, clerk, proxy) = one_connection();
    let (mut one, mut other) = (proxy.connect(&database), proxy.connect(&database));
    one.succeed(&format!("set role {}", clerk.name));
    one.succeed("set work_mem = '4321kB'");
    one.succeed("reset all");
    assert_eq!(other.value(WHO), "app as app");
    assert_eq!(one.value(WHO), format!("app as {}", clerk.name));
    assert_ne!(one.value("show work_mem"), "4321kB");
    one.succeed("discard all");
    assert_eq!(one.value(WHO), "app as app");
}

#[test]
fn a_role_asked_for_at_startup_is_what_reset_returns_to() {
    let (database, clerk, proxy) = one_connection();
    let mut other = proxy.connect(&database);
    let login = proxy.login(&database).parameter("role", &clerk.name);
    let mut one = Wire::connect(&login).unwrap();
    let clerk = format!("app as {}", clerk.name);
    assert_eq!(one.value(WHO), clerk);
    assert_eq!(other.value(WHO), "app as app");
    one.succeed("set role none");
    assert_eq!(one.value(WHO), "app as app");
    one.succeed("reset role");
    assert_eq!(one.value(WHO), clerk);
    // Within a transaction too, and undone with it.
    one.succeed("set role none");
    one.succeed("begin");
    one.succeed("reset role");
    assert_eq!(one.value(WHO), clerk);
    one.succeed("rollback");
    assert_eq!(one.value(WHO), "app as app");
    assert_eq!(other.value(WHO), "app as app");
    one.succeed("discard all");
    assert_eq!(one.value(WHO), clerk);
}

#[test]
fn a_session_user_ends_the_role() {
    let (database, clerk, proxy) = one_connection();
    let login = Login::new(proxy.port, &database.name, ADMIN);
    let connect = || Wire::connect(&login).unwrap();
    let (mut one, mut other) = (connect(), connect());
    one.succeed("set role other");
    one.succeed("set session authorization app");
    assert_eq!(other.value(WHO), "postgres as postgres");
    assert_eq!(one.value(WHO), "app as app");
    assert_eq!(one.parameters["session_authorization"], "app");
    assert_eq!(one.parameters["is_superuser"], "off");
    one.succeed(&format!("set role {}", clerk.name));
    assert_eq!(other.value(WHO), "postgres as postgres");
    assert_eq!(one.value(WHO), format!("app as {}", clerk.name));
    one.succeed("reset session authorization");
    assert_eq!(other.value(WHO), "postgres as postgres");
    assert_eq!(one.value(WHO), "postgres as postgres");
    one.succeed("set session authorization app");
    one.succeed("discard all");
    assert_eq!(one.value(WHO), "postgres as postgres");
    assert_eq!(other.parameters["is_superuser"], "on");
}

#[test]
fn what_only_a_superuser_may_set_follows_it_under_another_role() {
    let (database, _clerk, proxy) = one_connection();
    let login = Login::new(proxy.port, &database.name, ADMIN);
    let connect = || Wire::connect(&login).unwrap();
    let (mut one, mut other) = (connect(), connect());
    one.succeed("set log_min_messages = 'error'");
    one.succeed("set role other");
    other.succeed("set session authorization app");
    for _ in 0..3 {
        assert_eq!(other.value(WHO), "app as app");
        assert_eq!(other.value("show log_min_messages"), "warning");
        assert_eq!(one.value(WHO), "postgres as other");
        assert_eq!(one.value("show log_min_messages"), "error");
    }
    let reply = one.simple("set log_min_messages = 'log'");
    assert_eq!(words(&reply), ["Error(42501)", "Ready(I)"]);
    one.succeed("reset role");
    one.succeed("set log_min_messages = 'log'");
    assert_eq!(other.value("show log_min_messages"), "warning");
    assert_eq!(one.value("show log_min_messages"), "log");
}

#[test]
fn what_a_role_was_granted_is_set_as_that_role() {
    let (database, clerk, proxy) = one_connection();
    let grant = format!("grant set on parameter log_min_messages to {}", clerk.name);
    let revoke = format!(
        "revoke set on parameter log_min_messages from {}",
        clerk.name
    );
    database.admin().succeed(&grant);
    let (mut one, mut other) = (proxy.connect(&database), proxy.connect(&database));
    one.succeed(&format!("set role {}", clerk.name));
    one.succeed("set log_min_messages = 'error'");
    one.succeed("reset role");
    for _ in 0..2 {
        assert_eq!(other.value("show log_min_messages"), "warning");
        assert_eq!(one.value("show log_min_messages"), "error");
        assert_eq!(one.value(WHO), "app as app");
    }
    database.admin().succeed(&revoke);
}

#[test]
fn a_role_that_was_taken_away_ends_its_client_and_nothing_runs() {
    if is_direct() {
        return;
    }
    let (database, clerk, proxy) = one_connection();
    let (mut one, mut other) = (proxy.connect(&database), proxy.connect(&database));
    other.succeed("create table note (writer text default current_user)");
    one.succeed(&format!("set role {}", clerk.name));
    assert_eq!(other.value(WHO), "app as app");
    let revoke = format!("revoke {} from app", clerk.name);
    database.admin().succeed(&revoke);
    one.send(&crate::support::wire::frontend::query(
        "insert into note default values; select writer from note",
    ))
    .unwrap();
    let reply = one.read_ready_or_close();
    assert_eq!(words(&reply), ["Error(42501)"]);
    assert_eq!(other.value("select count(*) from note"), "0");
    assert_eq!(other.value(WHO), "app as app");
}

#[test]
fn a_startup_option_that_is_refused_is_its_clients_own_fault() {
    let (database, _clerk, proxy) = one_connection();
    let mut other = proxy.connect(&database);
    other.succeed("create table note (word text)");
    other.succeed("set app.tenant = '1'");
    let login = proxy
        .login(&database)
        .parameter("statement_timeout", "nonsense")
        .parameter("app.tenant", "2");
    // At the login, or when the connection is first used.
    match Wire::connect(&login) {
        Err(refused) => assert_eq!(refused.sqlstate(), "22023"),
        Ok(mut one) => {
            let insert = "insert into note values (current_setting('app.tenant'))";
            one.send(&[run_unnamed(insert, &[]), sync()].concat())
                .unwrap();
            assert_eq!(words(&one.read_ready_or_close()), ["Error(22023)"]);
        }
    }
    assert_eq!(other.value("select count(*) from note"), "0");
    assert_eq!(other.value("show app.tenant"), "1");
}

#[test]
fn policies_of_tables_see_each_clients_own_role_and_tenant() {
    let database = Database::new();
    let clerk = Clerk::new(&database);
    let proxy =
        Sluice::start(&Settings::for_server(database.server_port).group("default_pool_size", 1));
    let mut owner = proxy.connect(&database);
    owner.succeed("create table account (tenant text, owner text)");
    owner.succeed("insert into account values ('a', 'ann'), ('b', 'bob')");
    owner.succeed("alter table account enable row level security");
    owner.succeed(
        "create policy own on account using (tenant = current_setting('app.tenant', true))",
    );
    owner.succeed(&format!("grant select on account to {}", clerk.name));
    let mut tenants: Vec<(Wire, &str, &str)> = [("a", "ann"), ("b", "bob")]
        .into_iter()
        .map(|(tenant, owner)| (proxy.connect(&database), tenant, owner))
        .collect();
    for (wire, tenant, _) in &mut tenants {
        wire.succeed(&format!("set role {}", clerk.name));
        wire.succeed(&format!("set app.tenant = '{tenant}'"));
    }
    for _ in 0..5 {
        for (wire, _, own) in &mut tenants {
            assert_eq!(wire.succeed("select owner from account"), [*own]);
            let reply = wire.ask(&[run_unnamed("select owner from account", &[]), sync()].concat());
            assert_eq!(column(&reply), [*own]);
        }
        assert_eq!(owner.value("select count(*) from account"), "2");
    }
    drop(tenants);
    owner.succeed("drop table account");
}
