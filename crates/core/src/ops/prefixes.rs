//! The part of the entities that a credential may see and write (OPS-52).

/// What an entity's name must begin with: each of these, since each caveat narrows; all entities if there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefixes<'a>(pub &'a [String]);

impl<'a> Prefixes<'a> {
    /// Whether there are none.
    #[must_use]
    pub const fn are_all(self) -> bool {
        self.0.is_empty()
    }

    /// Whether ops about `entity` are within. What is about no entity is within the whole alone.
    #[must_use]
    pub fn contain(self, entity: Option<&str>) -> bool {
        self.are_all()
            || entity.is_some_and(|entity| self.0.iter().all(|prefix| entity.starts_with(&**prefix)))
    }

    /// The one prefix that these and `asked` come to; `None`: no name begins with all of them.
    #[must_use]
    pub fn joined(self, asked: Option<&'a str>) -> Option<&'a str> {
        let all = || self.0.iter().map(|prefix| &**prefix).chain(asked);
        let longest = all().max_by_key(|prefix| prefix.len()).unwrap_or_default();
        all().all(|prefix| longest.starts_with(prefix)).then_some(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPS-52
    #[test]
    fn each_prefix_narrows() {
        let prefixes = ["node/".to_owned(), "node/1".to_owned()];
        let narrowed = Prefixes(&prefixes);
        assert!(
            narrowed.contain(Some("node/12")) && !narrowed.contain(Some("node/2")) && !narrowed.contain(None)
        );
        assert_eq!(narrowed.joined(Some("no")), Some("node/1"));
        assert_eq!(narrowed.joined(Some("node/12")), Some("node/12"));
        assert_eq!(narrowed.joined(Some("node/2")), None);
        assert!(Prefixes(&[]).contain(None));
        assert_eq!(Prefixes(&[]).joined(None), Some(""));
    }
}
