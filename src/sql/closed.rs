//! Closed lists of flags with stable names, and sets of such flags in one word.
//!
//! Each SQL family has a list of its own of what a statement may touch; what a list and a set can do
//! is written here once.

/// Declares an enum of flags and the type of their sets. Each flag has a name that is fit for a
/// metric label. At most 64 flags: more do not compile.
macro_rules! closed_set {
    (
        $(#[$flag_doc:meta])*
        flag $Flag:ident;
        $(#[$set_doc:meta])*
        set $Set:ident;
        $( $(#[$doc:meta])* $Variant:ident = $name:literal, )+
    ) => {
        $(#[$flag_doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $Flag {
            $( $(#[$doc])* $Variant, )+
        }

        impl $Flag {
            /// All of them, in declaration order.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$Variant),+];

            /// The stable name, fit for a metric label.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$Variant => $name, )+
                }
            }

            const fn bit(self) -> u64 {
                1 << self as u8
            }
        }

        $(#[$set_doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $Set(u64);

        impl $Set {
            /// The empty set.
            pub const NONE: Self = Self(0);

            /// The set of one.
            #[must_use]
            pub const fn of(flag: $Flag) -> Self {
                Self(flag.bit())
            }

            /// This set with `flag` in it.
            #[must_use]
            pub const fn with(self, flag: $Flag) -> Self {
                Self(self.0 | flag.bit())
            }

            /// This set without `flag`.
            #[must_use]
            pub const fn without(self, flag: $Flag) -> Self {
                Self(self.0 & !flag.bit())
            }

            /// What is in either set.
            #[must_use]
            pub const fn union(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }

            /// Adds `flag`.
            pub const fn insert(&mut self, flag: $Flag) {
                self.0 |= flag.bit();
            }

            /// Adds everything in `other`.
            pub const fn extend(&mut self, other: Self) {
                self.0 |= other.0;
            }

            /// Whether `flag` is in the set.
            #[must_use]
            pub const fn contains(self, flag: $Flag) -> bool {
                self.0 & flag.bit() != 0
            }

            /// Whether everything in `other` is in this set.
            #[must_use]
            pub const fn contains_all(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether anything in `other` is in this set.
            #[must_use]
            pub const fn intersects(self, other: Self) -> bool {
                self.0 & other.0 != 0
            }

            /// Whether the set is empty.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// What is in the set, in declaration order.
            pub fn iter(self) -> impl Iterator<Item = $Flag> {
                $Flag::ALL
                    .into_iter()
                    .filter(move |flag| self.contains(*flag))
            }
        }

        impl FromIterator<$Flag> for $Set {
            fn from_iter<I: IntoIterator<Item = $Flag>>(flags: I) -> Self {
                flags.into_iter().fold(Self::NONE, Self::with)
            }
        }

        impl std::fmt::Debug for $Set {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.debug_set()
                    .entries(self.iter().map($Flag::name))
                    .finish()
            }
        }
    };
}

pub(super) use closed_set;
