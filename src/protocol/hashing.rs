//! The hasher of maps that each client has: as random as any, but one for the whole process, so that
//! an empty map takes no room for it.

use std::hash::BuildHasher;
use std::sync::LazyLock;

use foldhash::fast::{FoldHasher, RandomState};

/// Builds hashers that nobody outside can foresee.
#[derive(Clone, Copy, Debug, Default)]
pub struct OfProcess;

impl BuildHasher for OfProcess {
    type Hasher = FoldHasher<'static>;

    fn build_hasher(&self) -> Self::Hasher {
        static RANDOM: LazyLock<RandomState> = LazyLock::new(RandomState::default);
        RANDOM.build_hasher()
    }
}
