//! Random sessions, directly and through a proxy that changes the server connection at every
//! point where it may: each reply must be the same, byte for byte.
//!
//! `SLUICE_DIFF_SESSIONS` says how many sessions are played, `SLUICE_DIFF_SEED` with which seed
//! the first script is written, `SLUICE_DIFF_FAILURES` after how many differences to stop,
//! `SLUICE_DIFF_ALLOW` which of the kinds that are known to differ (see `sql::Allowed`) to play; with
//! `SLUICE_DIFF_SHOW` every script is shown.

use std::{collections::HashSet, env, time::Instant};

use random::Random;
use script::{Dialect, Difference, Outcome, Script, play, seats};

use crate::support::{mysql::Kind, sluice::Sluice};

mod mysql;
mod postgres;
mod random;
mod script;
mod shrink;

fn number(name: &str, usual: u64) -> u64 {
    env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn postgresql_sessions_are_as_direct_ones() {
    compare_postgresql();
}

#[test]
fn what_was_found_with_postgresql_is_not_found_again() {
    replay_postgresql();
}

/// Plays what once showed a difference.
pub fn replay_postgresql() {
    let both = postgres::Postgresql::start();
    for (about, script) in postgres::known() {
        let mut places = seats(&both, script.clients);
        let found = play(&both, &mut places, &script).difference();
        assert!(found.is_none(), "{about}:\n{script}{}", found.unwrap());
    }
}

/// Plays as many sessions as the environment says.
pub fn compare_postgresql() {
    let both = postgres::Postgresql::start();
    let author = |seed| postgres::Author::new(seed).script();
    compare(
        both,
        300,
        postgres::MOST_CLIENTS,
        author,
        |both| &both.proxy,
        |place| {
            place.direct.leave();
            place.proxied.leave();
        },
    );
}

#[test]
fn mysql_sessions_are_as_direct_ones() {
    mysql_compare(Kind::MySql);
}

#[test]
fn mariadb_sessions_are_as_direct_ones() {
    mysql_compare(Kind::MariaDb);
}

fn mysql_compare(kind: Kind) {
    let both = mysql::Mysql::start(kind);
    let author = move |seed| mysql::Author::new(seed, kind).script();
    compare(
        both,
        200,
        mysql::MOST_CLIENTS,
        author,
        |both| &both.proxy,
        |place| {
            place.direct.leave();
            place.proxied.leave();
        },
    );
}

/// Plays scripts until as many sessions as wanted have been compared.
fn compare<D: Dialect>(
    mut both: D,
    usual: u64,
    most_clients: usize,
    author: impl Fn(u64) -> (Script<D::Act>, Vec<bool>),
    proxy: impl Fn(&D) -> &Sluice,
    leave: impl Fn(&mut script::Pair<D::Seat>),
) {
    let sessions = number("SLUICE_DIFF_SESSIONS", usual);
    let first = number("SLUICE_DIFF_SEED", 1);
    let most = number("SLUICE_DIFF_FAILURES", 1);
    let mut places = seats(&both, most_clients);
    let (mut played, mut acts, mut parted, mut failures) = (0, 0, 0, 0);
    let began = Instant::now();
    let mut seed = first;
    while played < sessions && failures < most {
        let (script, kept) = author(seed);
        played += script.clients as u64;
        acts += script.acts.len();
        if env::var_os("SLUICE_DIFF_SHOW").is_some() {
            println!("SLUICE_DIFF_SEED={seed}:\n{script}");
        }
        match play(&both, &mut places, &script) {
            Outcome::Same => {}
            Outcome::Parted => parted += 1,
            Outcome::Different(difference) => {
                failures += 1;
                places = seats(&both, most_clients);
                report(&mut both, seed, &script, &difference);
            }
        }
        for (place, _) in places.iter_mut().zip(kept).filter(|(_, kept)| !kept) {
            leave(place);
        }
        seed += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    let proxy = proxy(&both);
    let borrows = proxy.metric("sluice_database_connection_borrows_total", "");
    let pins = proxy.metric("sluice_pins_total", "");
    println!(
        "{played} sessions, {acts} acts, {borrows} borrows, {pins} pins in {seconds:.1} s, seeds {first} to {}; {parted} scripts ended where it is told that they may; {failures} differences",
        seed - 1
    );
    assert_eq!(failures, 0, "see above");
}

/// Shows a difference, as small as it gets.
fn report<D: Dialect>(both: &mut D, seed: u64, script: &Script<D::Act>, found: &Difference) {
    match shrink::shrink(both, script) {
        Some((less, difference)) => {
            println!(
                "SLUICE_DIFF_SEED={seed}: a difference in the last act of\n{less}{difference}"
            );
        }
        None => {
            let mut script = script.clone();
            script.acts.truncate(found.at + 1);
            println!(
                "SLUICE_DIFF_SEED={seed}: a difference, but not again with new clients, in the last act of\n{script}{found}"
            );
        }
    }
}

#[test]
fn the_same_seed_writes_the_same_script() {
    let postgres = |seed| postgres::Author::new(seed).script().0.to_string();
    let mysql = |seed| mysql::Author::new(seed, Kind::MySql).script().0.to_string();
    assert_eq!(postgres(1), postgres(1));
    assert_eq!(mysql(1), mysql(1));
    let different: HashSet<String> = (1..20).map(postgres).chain((1..20).map(mysql)).collect();
    assert_eq!(different.len(), 38);
}

#[test]
fn weights_are_kept() {
    let mut random = Random::new(1);
    let seldom = (0..1000).filter(|_| random.weighted(&[(9, false), (1, true)]));
    assert!((50..200).contains(&seldom.count()));
}
