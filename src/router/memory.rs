//! What a session remembers of its reads and writes, and what follows from it for the next read.

use smallvec::SmallVec;

use super::Reason;
use crate::model::{Consistency, TargetName};

/// What one session has done so far.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// It has worked on the primary since `floor` was asked for.
    ahead: bool,
    /// What it may have seen lies before this position; `None`: it has seen nothing but what `home` showed.
    floor: Option<Box<str>>,
    /// Replicas that are known to have come that far.
    reached: SmallVec<[TargetName; 2]>,
    /// The replica that it has read from last.
    home: Option<TargetName>,
}

/// Where a read goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// To the primary.
    Primary(Reason),
    /// To the replica that was looked at, after this has been shown.
    Replica(Proof),
}

/// What must be shown of a replica before a session may read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing.
    None,
    /// That it has come to [`Memory::floor`].
    Floor,
    /// That it has come to where the primary is now; see [`Memory::learn`].
    Fresh,
}

impl Memory {
    /// The replica that a read should go to, if it may be used.
    pub const fn home(&self) -> Option<&TargetName> {
        self.home.as_ref()
    }

    /// What a replica must have come to.
    pub fn floor(&self) -> Option<&str> {
        self.floor.as_deref()
    }

    /// Where a read goes, if `replica` is the one that it could go to.
    pub fn plan(&self, consistency: Consistency, replica: Option<&TargetName>) -> Plan {
        let Some(replica) = replica else {
            return Plan::Primary(Reason::NoReplica);
        };
        let moves = self.home.as_ref().is_some_and(|home| home != replica);
        Plan::Replica(match consistency {
            Consistency::Eventual => Proof::None,
            Consistency::Strong => Proof::Fresh,
            // What the last replica has shown may be newer than what this one has, unless this one is known to
            // have come as far as the primary had then.
            Consistency::Session if self.ahead || moves => Proof::Fresh,
            Consistency::Session if self.floor.is_some() && !self.has_reached(replica) => {
                Proof::Floor
            }
            Consistency::Session => Proof::None,
        })
    }

    /// The session works on the primary: it may write there, and see what no replica shows yet.
    pub fn work(&mut self) {
        self.ahead = true;
    }

    /// The primary was there just now, while nothing of the session's was under way.
    pub fn learn(&mut self, position: &str) {
        self.floor = Some(position.into());
        self.reached.clear();
        self.home = None;
        self.ahead = false;
    }

    /// This replica has come to the floor.
    pub fn show(&mut self, replica: &TargetName) {
        if !self.has_reached(replica) {
            self.reached.push(replica.clone());
        }
    }

    /// The session reads from this replica.
    pub fn read(&mut self, replica: &TargetName) {
        if self.home.as_ref() != Some(replica) {
            self.home = Some(replica.clone());
        }
    }

    fn has_reached(&self, replica: &TargetName) -> bool {
        self.reached.contains(replica)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::{Strategy, any, prop_oneof, proptest};

    use super::{Memory, Plan, Proof};
    use crate::model::{Consistency, TargetName};
    use crate::router::Reason;

    fn name(index: usize) -> TargetName {
        Arc::from(format!("replica-{index}:1"))
    }

    #[test]
    fn without_replicas_all_goes_to_the_primary() {
        let memory = Memory::default();
        let plan = memory.plan(Consistency::Session, None);
        assert_eq!(plan, Plan::Primary(Reason::NoReplica));
    }

    #[test]
    fn a_proof_is_asked_for_once() {
        let mut memory = Memory::default();
        let plan = |memory: &Memory| memory.plan(Consistency::Session, Some(&name(0)));
        assert_eq!(plan(&memory), Plan::Replica(Proof::None));
        memory.work();
        assert_eq!(plan(&memory), Plan::Replica(Proof::Fresh));
        memory.learn("7");
        assert_eq!(plan(&memory), Plan::Replica(Proof::Floor));
        memory.show(&name(0));
        memory.read(&name(0));
        assert_eq!(plan(&memory), Plan::Replica(Proof::None));
        let other = memory.plan(Consistency::Session, Some(&name(1)));
        assert_eq!(other, Plan::Replica(Proof::Fresh));
        let eventual = memory.plan(Consistency::Eventual, Some(&name(1)));
        assert_eq!(eventual, Plan::Replica(Proof::None));
        let strong = memory.plan(Consistency::Strong, Some(&name(0)));
        assert_eq!(strong, Plan::Replica(Proof::Fresh));
    }

    #[derive(Clone, Debug)]
    enum Act {
        /// Session writes.
        Write(usize),
        /// Session reads, at this replica if it may.
        Read(usize, usize),
        /// A replica catches up by so much.
        Replay(usize, u64),
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            (0..2_usize).prop_map(Act::Write),
            (0..2_usize, 0..3_usize).prop_map(|(session, replica)| Act::Read(session, replica)),
            (0..3_usize, 0..4_u64).prop_map(|(replica, by)| Act::Replay(replica, by)),
        ]
    }

    /// What a session has seen and written, to hold against the rules.
    #[derive(Default)]
    struct Seen {
        memory: Memory,
        wrote: u64,
        saw: u64,
    }

    proptest! {
        /// Two sessions, a primary and three replicas whose position is how many writes they have: no session of
        /// `session` misses its own write or goes back, and none of `strong` misses anybody's.
        #[test]
        fn no_session_goes_back_in_time(acts in proptest::collection::vec(act(), 0..60), strong in any::<bool>()) {
            let consistency = if strong { Consistency::Strong } else { Consistency::Session };
            let mut primary = 0_u64;
            let mut replicas = [0_u64; 3];
            let mut sessions = [Seen::default(), Seen::default()];
            for act in acts {
                match act {
                    Act::Write(session) => {
                        primary += 1;
                        sessions[session].wrote = primary;
                        sessions[session].saw = primary;
                        sessions[session].memory.work();
                    }
                    Act::Replay(replica, by) => {
                        replicas[replica] = (replicas[replica] + by).min(primary);
                    }
                    Act::Read(session, replica) => {
                        let Seen { memory, wrote, saw } = &mut sessions[session];
                        let target = name(replica);
                        let Plan::Replica(mut proof) = memory.plan(consistency, Some(&target)) else {
                            panic!("a replica was offered");
                        };
                        if proof == Proof::Fresh {
                            memory.learn(&primary.to_string());
                            proof = Proof::Floor;
                        }
                        let mut shown = primary;
                        let floor = memory.floor().map_or(0, |floor| floor.parse().unwrap());
                        if proof == Proof::None || replicas[replica] >= floor {
                            if proof == Proof::Floor {
                                memory.show(&target);
                            }
                            memory.read(&target);
                            shown = replicas[replica];
                        } else {
                            // Behind: the primary answers.
                            memory.work();
                        }
                        assert!(shown >= *wrote && shown >= *saw);
                        assert!(!strong || shown == primary);
                        *saw = shown;
                    }
                }
            }
        }
    }
}
