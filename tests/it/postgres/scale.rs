//! Thousands of clients over few server connections.

use std::{
    net::{IpAddr, Ipv4Addr},
    thread,
};

use crate::support::{
    place,
    postgres::Database,
    sluice::{Settings, Sluice, is_direct},
    wire::{Login, Wire},
};

const IDLE: usize = 5_000;
const BUSY: usize = 500;
const POOL: i64 = 20;
const WORKERS: usize = 8;

/// Logs in from one of several loopback addresses, so that no one of them runs out of ports.
fn connect(login: &Login, number: usize) -> Wire {
    let source = IpAddr::V4(Ipv4Addr::new(
        127,
        0,
        0,
        u8::try_from(2 + number % 8).unwrap(),
    ));
    Wire::connect(&Login {
        source,
        ..login.clone()
    })
    .unwrap()
}

#[test]
fn five_hundred_busy_clients_among_five_thousand_idle_ones_share_twenty_server_connections() {
    if is_direct() {
        return;
    }
    place::raise_open_files((IDLE + BUSY) as u64 + 200);
    let database = Database::new();
    let settings = Settings::for_server(database.server_port)
        .group("default_pool_size", POOL)
        .general("log_connections", false)
        .general("max_client_conn", 6_000);
    let proxy = Sluice::start(&settings);
    let login = proxy.login(&database);
    drop(connect(&login, 0));
    let before = place::resident_bytes(proxy.pid());
    let idle: Vec<Wire> = thread::scope(|scope| {
        let logins = |worker| {
            let login = &login;
            scope.spawn(move || {
                let mine = (worker..IDLE).step_by(WORKERS);
                mine.map(|number| connect(login, number))
                    .collect::<Vec<_>>()
            })
        };
        let workers: Vec<_> = (0..WORKERS).map(logins).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    assert_eq!(idle.len(), IDLE);
    let each = place::resident_bytes(proxy.pid()).saturating_sub(before) / IDLE as u64;
    assert!(each < 32 << 10, "an idle client takes {each} bytes");
    thread::scope(|scope| {
        for worker in 0..WORKERS {
            let login = &login;
            scope.spawn(move || {
                let mut mine: Vec<(usize, Wire)> = (worker..BUSY)
                    .step_by(WORKERS)
                    .map(|number| (number, connect(login, number)))
                    .collect();
                for step in 0..10 {
                    for (number, wire) in &mut mine {
                        assert_eq!(
                            wire.value(&format!("select {number} * 100 + {step}")),
                            (*number * 100 + step).to_string()
                        );
                    }
                }
            });
        }
    });
    let servers = database.admin().value(&format!(
        "select count(*) from pg_stat_activity where datname = '{}' and usename = 'app'",
        database.name
    ));
    assert!(
        servers.parse::<i64>().unwrap() <= POOL,
        "{servers} server connections"
    );
    // The idle ones have not been forgotten.
    for mut wire in idle.into_iter().step_by(100) {
        assert_eq!(wire.value("select 'awake'"), "awake");
    }
}
