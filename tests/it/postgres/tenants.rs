//! Tenants with opposite settings hammer one server connection; nothing of one reaches another.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    postgres::{ADMIN, Database},
    sluice::{Sluice, is_direct},
    wire::{
        Login, Wire,
        backend::{column, error},
        frontend::{parse, run_named, run_unnamed, sync},
    },
};

/// What a tenant sets, and sees.
struct Tenant {
    name: &'static str,
    zone: &'static str,
    timeout: &'static str,
    dates: &'static str,
    /// The first of May 2026 as it reads it.
    day: &'static str,
}

const TENANTS: [Tenant; 2] = [
    Tenant {
        name: "red",
        zone: "Asia/Tokyo",
        timeout: "71s",
        dates: "ISO, MDY",
        day: "05/01/2026",
    },
    Tenant {
        name: "blue",
        zone: "America/Lima",
        timeout: "83s",
        dates: "SQL, DMY",
        day: "01/05/2026",
    },
];

/// Everything that must be the tenant's own, in one row.
const LOOK: &str = "select concat_ws('|', current_user, current_setting('TimeZone'), \
     current_setting('statement_timeout'), current_setting('DateStyle'), \
     current_setting('app.tenant'), current_schema(), \
     (select string_agg(owner, ',' order by owner) from public.account), \
     (select colour from thing))";

impl Tenant {
    fn role(&self, database: &Database) -> String {
        format!("{}_{}", self.name, database.name)
    }

    fn sees(&self, database: &Database) -> String {
        let Self {
            name,
            zone,
            timeout,
            dates,
            ..
        } = self;
        let role = self.role(database);
        format!("{role}|{zone}|{timeout}|{dates}|{name}|{name}|{name} owner|{name}")
    }

    fn set_up(&self, database: &Database, admin: &mut Wire) {
        let (name, role) = (self.name, self.role(database));
        for sql in [
            format!("create role {role}"),
            format!("grant {role} to app"),
            format!("create schema {name}"),
            format!("create table {name}.thing (colour text)"),
            format!("insert into {name}.thing values ('{name}')"),
            format!("insert into account values ('{name}', '{name} owner')"),
            format!("grant usage on schema {name} to {role}"),
            format!("grant select on {name}.thing, account to {role}"),
        ] {
            admin.succeed(&sql);
        }
    }

    /// Sets everything, each in another way.
    fn enter(&self, database: &Database, wire: &mut Wire) {
        let (name, role) = (self.name, self.role(database));
        wire.succeed(&format!("set search_path to {name}, public"));
        wire.succeed(&format!("set time zone '{}'", self.zone));
        wire.succeed(&format!(
            "begin; set statement_timeout = '{}'; savepoint s; set statement_timeout = '5s'; \
             rollback to s; commit",
            self.timeout
        ));
        wire.succeed(&format!("set datestyle to {}", self.dates));
        let set = "select set_config('app.tenant', $1, false)";
        let reply = wire.ask(&[run_unnamed(set, &[name]), sync()].concat());
        assert_eq!(error(&reply), None);
        wire.succeed(&format!("set role {role}"));
        for (statement, sql) in [("look", LOOK), ("day", "select to_char($1::date, 'MM')")] {
            let reply = wire.ask(&[parse(statement, sql), sync()].concat());
            assert_eq!(error(&reply), None);
        }
        wire.succeed(&format!(
            "prepare own as select '{name}', colour from thing"
        ));
    }

    /// Looks in every way there is; returns how often it has.
    fn hammer(&self, database: &Database, wire: &mut Wire, until: Instant) -> u32 {
        let expected = self.sees(database);
        let mut looks = 0;
        while Instant::now() < until {
            assert_eq!(wire.value(LOOK), expected);
            let named = [
                run_named("look", &[]),
                run_named("day", &[self.day]),
                sync(),
            ];
            let reply = wire.ask(&named.concat());
            assert_eq!(column(&reply), [expected.as_str(), "05"]);
            let reply = wire.ask(&[run_unnamed(LOOK, &[]), sync()].concat());
            assert_eq!(column(&reply), [expected.as_str()]);
            wire.succeed("begin; set local statement_timeout = '50s'; set local role none");
            assert_eq!(wire.value("select current_user"), "app");
            wire.succeed("rollback");
            assert_eq!(wire.succeed("execute own"), [self.name]);
            looks += 1;
        }
        looks
    }
}

/// How long: some seconds, or as many as `SLUICE_TEST_TENANT_SECONDS` says.
fn duration() -> Duration {
    let asked = std::env::var("SLUICE_TEST_TENANT_SECONDS").ok();
    Duration::from_secs(asked.and_then(|seconds| seconds.parse().ok()).unwrap_or(3))
}

#[test]
fn two_tenants_on_one_server_connection_never_meet() {
    let database = Database::new();
    let proxy = Sluice::with_pool(&database, 1);
    let mut admin = database.admin();
    admin.succeed("create table account (tenant text, owner text)");
    admin.succeed("alter table account enable row level security");
    admin.succeed("create policy own on account using (tenant = current_setting('app.tenant'))");
    for tenant in &TENANTS {
        tenant.set_up(&database, &mut admin);
    }
    let until = Instant::now() + duration();
    let looks: Vec<u32> = thread::scope(|scope| {
        let hammers: Vec<_> = TENANTS
            .iter()
            .chain(&TENANTS)
            .map(|tenant| {
                let (database, proxy) = (&database, &proxy);
                scope.spawn(move || {
                    let mut wire = proxy.connect(database);
                    tenant.enter(database, &mut wire);
                    tenant.hammer(database, &mut wire, until)
                })
            })
            .collect();
        let ends = hammers.into_iter().map(|hammer| hammer.join());
        ends.map(|looks| looks.expect("a tenant that saw only its own"))
            .collect()
    });
    println!("rounds of looks: {looks:?}");
    assert!(looks.iter().all(|looks| *looks > 0));
    if !is_direct() {
        let backends = "select count(*) from pg_stat_activity where usename = 'app' \
             and datname = current_database()";
        assert_eq!(admin.value(backends), "1");
        assert_eq!(
            proxy.metric("sluice_database_connections_session_pinned", ""),
            0.0
        );
    }
    clean_up(&database, admin);
}

/// Roles belong to the whole server, which all tests share.
fn clean_up(database: &Database, admin: Wire) {
    let roles: Vec<String> = TENANTS.iter().map(|tenant| tenant.role(database)).collect();
    let mut admin = admin;
    for role in &roles {
        admin.succeed(&format!("drop owned by {role}"));
    }
    let login = Login::new(database.server_port, "postgres", ADMIN);
    let mut elsewhere = Wire::connect(&login).unwrap();
    for role in &roles {
        elsewhere.succeed(&format!("drop role {role}"));
    }
}
