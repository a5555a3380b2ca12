//! Random sessions, directly and through a proxy that changes the server connection at every
//! point where it may: each reply must be the same, byte for byte.
//!
//! `SLUICE_DIFF_SESSIONS` says how many sessions are played, `SLUICE_DIFF_SEED` with which seed
//! the first script is written, `SLUICE_DIFF_FAILURES` after how many differences to stop,
//! `SLUICE_DIFF_ALLOW` which of the kinds that are known to differ (see `sql::Allowed`) to play; with
//! `SLUICE_DIFF_SHOW` every script is shown.

use std::{collections::HashSet, env, time::Instant};

use random::Random;
use script::{Dialect, Difference, Script, play, seats};

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

/// Plays as many sessions as the environment says.
pub fn compare_postgresql() {
    let mut both = postgres::Postgresql::start();
    let sessions = number("SLUICE_DIFF_SESSIONS", 300);
    let first = number("SLUICE_DIFF_SEED", 1);
    let most = number("SLUICE_DIFF_FAILURES", 1);
    let mut places = seats(&both, postgres::MOST_CLIENTS);
    let (mut played, mut acts, mut failures) = (0, 0, 0);
    let began = Instant::now();
    let mut seed = first;
    while played < sessions && failures < most {
        let (script, kept) = postgres::Author::new(seed).script();
        played += script.clients as u64;
        acts += script.acts.len();
        if env::var_os("SLUICE_DIFF_SHOW").is_some() {
            println!("SLUICE_DIFF_SEED={seed}:\n{script}");
        }
        if let Some(difference) = play(&both, &mut places, &script) {
            failures += 1;
            places = seats(&both, postgres::MOST_CLIENTS);
            report(&mut both, seed, &script, &difference);
        }
        for (place, _) in places.iter_mut().zip(kept).filter(|(_, kept)| !kept) {
            place.direct.leave();
            place.proxied.leave();
        }
        seed += 1;
    }
    let seconds = began.elapsed().as_secs_f64();
    let borrows = both
        .proxy
        .metric("sluice_database_connection_borrows_total", "");
    let pins = both.proxy.metric("sluice_pins_total", "");
    println!(
        "{played} sessions, {acts} acts, {borrows} borrows, {pins} pins in {seconds:.1} s, seeds {first} to {}; {failures} differences",
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
    let script = |seed| postgres::Author::new(seed).script().0.to_string();
    assert_eq!(script(1), script(1));
    let different: HashSet<String> = (1..20).map(script).collect();
    assert_eq!(different.len(), 19);
}

#[test]
fn weights_are_kept() {
    let mut random = Random::new(1);
    let seldom = (0..1000).filter(|_| random.weighted(&[(9, false), (1, true)]));
    assert!((50..200).contains(&seldom.count()));
}
