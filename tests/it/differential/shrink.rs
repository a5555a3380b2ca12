//! Making a script that shows a difference as short as it can be without losing it.

use super::script::{Dialect, Difference, Script, play, seats};

/// The smallest script that was found to show a difference, with that; `None` if `script` itself,
/// played by new clients, does not show one. What the proxy's server connections had been used for
/// before may have mattered then.
pub fn shrink<D: Dialect>(
    dialect: &mut D,
    script: &Script<D::Act>,
) -> Option<(Script<D::Act>, Difference)> {
    let mut best = script.clone();
    let mut shown = fails(dialect, &best)?;
    dialect.be_patient(false);
    let mut tries = 0;
    loop {
        let before = size(&best);
        cut(&mut best, &shown);
        without_parts(dialect, &mut best, &mut shown, &mut tries);
        smaller_acts(dialect, &mut best, &mut shown, &mut tries);
        if size(&best) == before || tries > MOST_TRIES {
            dialect.be_patient(true);
            return Some((best, shown));
        }
    }
}

const MOST_TRIES: usize = 1500;

fn size<A: std::fmt::Display>(script: &Script<A>) -> usize {
    script.to_string().len()
}

fn fails<D: Dialect>(dialect: &D, script: &Script<D::Act>) -> Option<Difference> {
    let mut fresh = seats(dialect, script.clients);
    play(dialect, &mut fresh, script).difference()
}

/// What comes after the difference is of no use.
fn cut<A>(script: &mut Script<A>, shown: &Difference) {
    script.acts.truncate(shown.at + 1);
}

/// Leaves out runs of acts, long ones first.
fn without_parts<D: Dialect>(
    dialect: &D,
    best: &mut Script<D::Act>,
    shown: &mut Difference,
    tries: &mut usize,
) {
    let mut length = best.acts.len().div_ceil(2);
    while length > 0 && *tries <= MOST_TRIES {
        let mut at = 0;
        while at < best.acts.len() {
            let mut less = best.clone();
            less.acts.drain(at..(at + length).min(best.acts.len()));
            *tries += 1;
            match fails(dialect, &less) {
                Some(difference) => {
                    cut(&mut less, &difference);
                    (*best, *shown) = (less, difference);
                }
                None => at += length,
            }
        }
        length /= 2;
    }
}

fn smaller_acts<D: Dialect>(
    dialect: &D,
    best: &mut Script<D::Act>,
    shown: &mut Difference,
    tries: &mut usize,
) {
    let mut at = 0;
    while at < best.acts.len() && *tries <= MOST_TRIES {
        let found = dialect
            .smaller(&best.acts[at].1)
            .into_iter()
            .find_map(|act| {
                let mut less = best.clone();
                less.acts[at].1 = act;
                *tries += 1;
                fails(dialect, &less).map(|difference| (less, difference))
            });
        match found {
            Some((mut less, difference)) => {
                cut(&mut less, &difference);
                (*best, *shown) = (less, difference);
            }
            None => at += 1,
        }
    }
}
