//! Where statements go: tables of them, and laws that hold for any text.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod laws;
mod tables;

use sluice::sql::mysql::{Flavor, Mode, reading as mysql_reading};
use sluice::sql::postgres::reading as postgres_reading;
use sluice::sql::reading::{Catalogue, Demand, Reading};

/// What stands in the tables for a verdict.
fn name(reading: &Reading) -> &'static str {
    match &reading.demand {
        Demand::Read => "read",
        Demand::ReadOnlyTransaction => "read_only_transaction",
        Demand::Execute(_) => "execute",
        Demand::Primary(why, _) => why.name(),
    }
}

/// What the objects that the tables name are like in PostgreSQL.
fn postgres_catalogue() -> Catalogue {
    let mut catalogue = Catalogue::new();
    for name in ["stable_fn", "immutable_fn", "lateral_fn"] {
        catalogue.add_function(name, true);
    }
    let volatile = [
        "volatile_fn",
        "volatile_rows",
        "volatile_agg",
        "bump",
        "lower_too",
        "Volatile Fn",
        "nextval",
        "setval",
        "currval",
        "lastval",
        "lo_creat",
        "lo_unlink",
        "lo_get",
        "pg_advisory_xact_lock",
        "pg_reload_conf",
        "pg_terminate_backend",
        "pg_read_file",
        "pg_export_snapshot",
        "pg_create_restore_point",
        "pg_switch_wal",
        "pg_promote",
    ];
    for name in volatile {
        catalogue.add_function(name, false);
    }
    for name in [
        "v_seq", "v_on", "v_sub", "v_now", "pol", "s", "ul", "par", "v_op",
    ] {
        catalogue.add_relation(name);
    }
    catalogue.add_operator("===");
    catalogue.add_field("bump");
    catalogue
}

/// The same in MySQL and MariaDB.
fn mysql_catalogue() -> Catalogue {
    let mut catalogue = Catalogue::new();
    for name in ["reads_fn", "nosql_fn"] {
        catalogue.add_function(name, true);
    }
    for name in ["writes_fn", "plain_fn"] {
        catalogue.add_function(name, false);
    }
    for name in ["v_writes", "v_over", "mem"] {
        catalogue.add_relation(name);
    }
    catalogue
}

fn postgres(text: &str) -> Reading {
    postgres_reading(text.as_bytes(), Some(&postgres_catalogue()))
}

const MYSQL: Mode = Mode::new(Flavor::MySql, 90_700);
const MARIADB: Mode = Mode::new(Flavor::MariaDb, 110_803);

fn mysql(text: &str, mode: Mode) -> Reading {
    mysql_reading(text.as_bytes(), mode, Some(&mysql_catalogue()))
}
