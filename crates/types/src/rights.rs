//! Rights as claims and caveats state them: operations and sync models, and sets of them.

use std::{fmt, str::FromStr};

macro_rules! word_set {
    ($(#[$meta:meta])* $item:ident, $(#[$set_meta:meta])* $set:ident, $error:literal, { $($(#[$variant_meta:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $item { $($(#[$variant_meta])* $variant),+ }

        impl $item {
            /// Every value, in the order of the specification.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word in claims, caveats and settings.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $item {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $item {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text { $($word => Ok(Self::$variant),)+ _ => Err(UnknownWord($error)) }
            }
        }

        $(#[$set_meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub struct $set(u8);

        impl $set {
            /// Nothing.
            pub const EMPTY: Self = Self(0);
            /// Everything.
            pub const ALL: Self = Self(0 $(| (1 << $item::$variant as u8))+);

            /// Exactly these.
            #[must_use]
            pub fn of(items: &[$item]) -> Self {
                items.iter().copied().collect()
            }

            /// Whether `item` belongs to the set.
            #[must_use]
            pub const fn contains(self, item: $item) -> bool {
                self.0 & (1 << item as u8) != 0
            }

            /// What both sets hold.
            #[must_use]
            pub const fn intersection(self, other: Self) -> Self {
                Self(self.0 & other.0)
            }

            /// Whether every item of `other` belongs to this set.
            #[must_use]
            pub const fn includes(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Whether the set holds nothing.
            #[must_use]
            pub const fn is_empty(self) -> bool {
                self.0 == 0
            }

            /// The items, in the order of the specification.
            pub fn iter(self) -> impl Iterator<Item = $item> {
                $item::ALL.iter().copied().filter(move |item| self.contains(*item))
            }
        }

        impl FromIterator<$item> for $set {
            fn from_iter<I: IntoIterator<Item = $item>>(items: I) -> Self {
                Self(items.into_iter().fold(0, |bits, item| bits | (1 << item as u8)))
            }
        }

        /// Words joined by commas.
        impl fmt::Display for $set {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for (index, item) in self.iter().enumerate() {
                    if index > 0 { f.write_str(",")?; }
                    f.write_str(item.as_str())?;
                }
                Ok(())
            }
        }
    };
}

/// A word that is not of its vocabulary; the text says which words are.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownWord(&'static str);

word_set!(
    /// What a credential may do.
    Op,
    /// A set of operations.
    OpSet,
    "op must be read, write or admin",
    {
        /// Pull, subscribe, query.
        Read = "read",
        /// Push, mutate.
        Write = "write",
        /// A model's admin API.
        Admin = "admin",
    }
);

word_set!(
    /// A sync model.
    Model,
    /// A set of sync models.
    ModelSet,
    "model must be pages, events, records, ops or functions",
    {
        /// A whole SQLite file, per page.
        Pages = "pages",
        /// An ordered event log per store.
        Events = "events",
        /// Field-level last-writer-wins records.
        Records = "records",
        /// An op-log with hybrid logical clocks.
        Ops = "ops",
        /// TypeScript functions with live queries.
        Functions = "functions",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_intersect_and_print_in_order() {
        let set = OpSet::of(&[Op::Write, Op::Read]);
        assert_eq!(set.to_string(), "read,write");
        assert_eq!(set.intersection(OpSet::of(&[Op::Write, Op::Admin])), OpSet::of(&[Op::Write]));
        assert!(OpSet::ALL.includes(set) && !set.includes(OpSet::ALL));
        assert_eq!("root".parse::<Op>(), Err(UnknownWord("op must be read, write or admin")));
    }
}
