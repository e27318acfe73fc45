//! A set of pages, one bit each; it grows to the highest page ever inserted.

use ferry_types::PageNo;

const WORD_BITS: usize = u64::BITS as usize;

/// A set of page numbers.
#[derive(Clone, Debug, Default)]
pub struct PageSet {
    words: Vec<u64>,
    len: u32,
    /// No word below this one has a bit set.
    low: usize,
}

impl PageSet {
    /// Adds `page`; false if it was there.
    pub fn insert(&mut self, page: PageNo) -> bool {
        let (word, bit) = bit_position(page);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.low = self.low.min(word);
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        self.len += u32::from(new);
        new
    }

    /// Takes `page` out; false if it was not there.
    pub fn remove(&mut self, page: PageNo) -> bool {
        let there = self.contains(page);
        if there {
            let (word, bit) = bit_position(page);
            self.words[word] &= !bit;
            self.len -= 1;
        }
        there
    }

    /// Takes the lowest page out; a whole ascending drain looks at each word once.
    pub fn pop_first(&mut self) -> Option<PageNo> {
        let page = self.next_from(page_at(self.low * WORD_BITS)?)?;
        self.low = bit_position(page).0;
        self.remove(page);
        Some(page)
    }

    /// Whether `page` is in the set.
    #[must_use]
    pub fn contains(&self, page: PageNo) -> bool {
        let (word, bit) = bit_position(page);
        self.words.get(word).is_some_and(|bits| bits & bit != 0)
    }

    /// Number of pages in the set.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether the set holds no page.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The lowest page of the set that is not below `from`.
    #[must_use]
    pub fn next_from(&self, from: PageNo) -> Option<PageNo> {
        let start = from.index();
        let mut word = start / WORD_BITS;
        let mut bits = self.words.get(word)? & (u64::MAX << (start % WORD_BITS));
        while bits == 0 {
            word += 1;
            bits = *self.words.get(word)?;
        }
        page_at(word * WORD_BITS + bits.trailing_zeros() as usize)
    }

    /// The pages, ascending.
    pub fn iter(&self) -> impl Iterator<Item = PageNo> + '_ {
        let mut next = self.next_from(PageNo::FIRST);
        std::iter::from_fn(move || {
            let page = next?;
            next = page_at(page.index() + 1).and_then(|after| self.next_from(after));
            Some(page)
        })
    }
}

impl FromIterator<PageNo> for PageSet {
    fn from_iter<I: IntoIterator<Item = PageNo>>(pages: I) -> Self {
        let mut set = Self::default();
        for page in pages {
            set.insert(page);
        }
        set
    }
}

const fn bit_position(page: PageNo) -> (usize, u64) {
    (page.index() / WORD_BITS, 1 << (page.index() % WORD_BITS))
}

/// The page at this place of a list of all pages, from 0.
fn page_at(index: usize) -> Option<PageNo> {
    u32::try_from(index + 1).ok().and_then(PageNo::new)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn behaves_like_an_ordinary_set(steps in prop::collection::vec((any::<bool>(), 1..300_u32), 0..200)) {
            let (mut set, mut model) = (PageSet::default(), BTreeSet::new());
            for (insert, number) in steps {
                let page = PageNo::new(number).unwrap();
                if insert {
                    prop_assert_eq!(set.insert(page), model.insert(page));
                } else {
                    prop_assert_eq!(set.remove(page), model.remove(&page));
                }
                prop_assert_eq!(set.len() as usize, model.len());
                prop_assert_eq!(set.next_from(page), model.range(page..).next().copied());
                if number % 5 == 0 {
                    prop_assert_eq!(set.pop_first(), model.pop_first());
                }
            }
            prop_assert!(set.iter().eq(model.iter().copied()));
        }
    }
}
