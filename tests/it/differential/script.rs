//! Scripts of several clients, played in step on both sides: each act is done directly and through
//! the proxy, and what is heard is compared before the next one.

use std::fmt;

/// What one protocol's clients can do, and how to do it.
pub trait Dialect {
    /// What a client does before it waits for all replies that are due.
    type Act: Clone + fmt::Display;
    /// A client's place on one side, connected or not.
    type Seat;

    /// Nobody is connected.
    fn seat(&self, side: Side) -> Self::Seat;
    /// How often the client waits for replies before the act is over.
    fn stages(&self, act: &Self::Act) -> usize;
    /// Does a part of an act.
    fn act(&self, seat: &mut Self::Seat, act: &Self::Act, stage: usize);
    /// Takes in what is due after it.
    fn hear(&self, seat: &mut Self::Seat) -> Vec<Reply>;
    /// What came to a client at its own time during a script that is over, on both sides.
    fn unasked(&self, direct: &mut Self::Seat, proxied: &mut Self::Seat) -> Pair<Vec<Reply>>;
    /// What both servers hold after a script.
    fn contents(&self) -> Pair<Vec<Reply>> {
        Pair {
            direct: Vec::new(),
            proxied: Vec::new(),
        }
    }
    /// Whether what was heard through the proxy is as good as what was heard directly.
    fn same(&self, heard: &Pair<Vec<Reply>>) -> bool;
    /// Whether what was heard differs in a way that is told to users, behind which the two sides need not
    /// agree.
    fn parted(&self, heard: &Pair<Vec<Reply>>) -> bool;
    /// Brings the databases back to where every script begins.
    fn restore(&self);
    /// Acts that may do instead of this one, where it is to be made smaller.
    fn smaller(&self, act: &Self::Act) -> Vec<Self::Act>;
    /// How long to wait in vain for what is due.
    fn be_patient(&mut self, patient: bool);
}

/// Which way a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Direct,
    Proxied,
}

/// The same on both sides.
#[derive(Debug)]
pub struct Pair<T> {
    pub direct: T,
    pub proxied: T,
}

/// A message of the server's.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What has to be the same on both sides.
    pub bytes: Vec<u8>,
    /// The same for people.
    pub shown: String,
}

/// What several clients do, one act at a time.
#[derive(Clone, Debug)]
pub struct Script<A> {
    pub clients: usize,
    /// Who does what.
    pub acts: Vec<(usize, A)>,
}

impl<A: fmt::Display> fmt::Display for Script<A> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (client, act) in &self.acts {
            writeln!(out, "  client {client}: {act}")?;
        }
        Ok(())
    }
}

/// How a script ended.
pub enum Outcome {
    /// To its end, each reply the same.
    Same,
    /// The two sides parted where users are told that they may.
    Parted,
    /// They differ.
    Different(Difference),
}

impl Outcome {
    /// The difference, if there is one.
    pub fn difference(self) -> Option<Difference> {
        match self {
            Self::Different(difference) => Some(difference),
            Self::Same | Self::Parted => None,
        }
    }
}

/// Where the two sides part.
#[derive(Debug)]
pub struct Difference {
    /// The act after which they do.
    pub at: usize,
    pub heard: Pair<Vec<Reply>>,
}

impl fmt::Display for Difference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Pair { direct, proxied } = &self.heard;
        let common = direct.iter().zip(proxied);
        let same = common.take_while(|(a, b)| a.bytes == b.bytes).count();
        for reply in &direct[..same] {
            writeln!(out, "    both:      {}", reply.shown)?;
        }
        for (side, replies) in [("direct: ", direct), ("proxied:", proxied)] {
            for reply in &replies[same..] {
                writeln!(out, "    {side}   {}", reply.shown)?;
            }
            if replies.len() == same {
                writeln!(out, "    {side}   (nothing more)")?;
            }
        }
        Ok(())
    }
}

/// The places of all clients, on both sides.
pub type Seats<D> = Vec<Pair<<D as Dialect>::Seat>>;

/// As many places as there are clients at most.
pub fn seats<D: Dialect>(dialect: &D, count: usize) -> Seats<D> {
    let pair = |_| Pair {
        direct: dialect.seat(Side::Direct),
        proxied: dialect.seat(Side::Proxied),
    };
    (0..count).map(pair).collect()
}

/// Plays the script until the two sides part, if they do. Clients of sides that did are replaced by new ones.
pub fn play<D: Dialect>(dialect: &D, seats: &mut Seats<D>, script: &Script<D::Act>) -> Outcome {
    dialect.restore();
    for (at, (client, act)) in script.acts.iter().enumerate() {
        let Pair { direct, proxied } = &mut seats[*client];
        let mut heard = Pair {
            direct: Vec::new(),
            proxied: Vec::new(),
        };
        for stage in 0..dialect.stages(act) {
            dialect.act(direct, act, stage);
            dialect.act(proxied, act, stage);
            heard.direct.extend(dialect.hear(direct));
            heard.proxied.extend(dialect.hear(proxied));
            if !dialect.same(&heard) {
                return part(dialect, seats, Difference { at, heard });
            }
        }
    }
    for seat in seats.iter_mut().take(script.clients) {
        let heard = dialect.unasked(&mut seat.direct, &mut seat.proxied);
        if !dialect.same(&heard) {
            let at = script.acts.len().saturating_sub(1);
            return Outcome::Different(Difference { at, heard });
        }
    }
    let heard = dialect.contents();
    if !dialect.same(&heard) {
        let at = script.acts.len().saturating_sub(1);
        return Outcome::Different(Difference { at, heard });
    }
    Outcome::Same
}

fn part<D: Dialect>(dialect: &D, places: &mut Seats<D>, found: Difference) -> Outcome {
    if !dialect.parted(&found.heard) {
        return Outcome::Different(found);
    }
    *places = seats(dialect, places.len());
    Outcome::Parted
}
