//! The versions of a replica that are kept: finding one, pinning it, and what lies between two.

use std::sync::Arc;

use ferry_core::pages::PageSet;
use ferry_types::{PageCount, PageNo, PageSize, Root, Tag, UnixMillis};

use super::{ListedVersion, PinnedVersion, Replica, UncheckedVersion, VersionInfo, index, replica::lock};
use crate::Result;

/// Which version a reader wants: the newest that is not after this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// A number.
    Version(u64),
    /// Exactly this one.
    Tag(Tag),
    /// A time.
    Time(UnixMillis),
}

/// What a reader says it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Nothing.
    Nothing,
    /// A version.
    Tag(Tag),
    /// An image, wherever it has it from.
    Root(Root),
}

/// What a body can be made against.
pub struct BodyBase {
    /// Its version.
    pub version: u64,
    /// First 8 bytes of its root.
    pub root_prefix: [u8; 8],
    /// Its pages; where it is no longer listed, those that are known to be in it.
    pub page_count: PageCount,
    /// Its content, as far as it is kept.
    pub pinned: Option<PinnedVersion>,
}

/// What became of looking for a base.
pub enum BaseFound {
    /// The reader has nothing that helps: a full body.
    Nothing,
    /// This.
    Known(BodyBase),
    /// The reader has what the hub never had, or no longer knows (PAG-22).
    Unknown,
}

impl Replica {
    /// Pins the newest version that is not after `at`; `None` if that is no longer kept.
    ///
    /// # Errors
    /// When the index cannot be read, or does not lead to the version's root.
    pub fn pin_at(self: &Arc<Self>, at: At) -> Result<Option<PinnedVersion>> {
        self.find_at(at)?.map(UncheckedVersion::check).transpose()
    }

    /// The same, but that nobody has looked yet whether the index leads to the version's root: that reads a leaf for each of
    /// its pages.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn find_at(self: &Arc<Self>, at: At) -> Result<Option<UncheckedVersion>> {
        // Histories are cut under this lock, so that no version goes between its finding and its pin.
        let _held = lock(&self.retention);
        let current = self.current();
        let info = match at {
            At::Version(number) if number >= current.version => Some(current),
            At::Tag(tag) if tag == current.tag() => Some(current),
            At::Version(number) => self.with_index(|index| index::version_not_after(index, number))?,
            At::Tag(tag) => self
                .with_index(|index| index::version_not_after(index, tag.version))?
                .filter(|info| info.tag() == tag),
            At::Time(time) if time >= current.time => Some(current),
            At::Time(time) => self.with_index(|index| index::version_at(index, time))?,
        };
        Ok(info.map(|info| UncheckedVersion::of(self.pin_version(info))))
    }

    /// The oldest version that can still be read.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn oldest(&self) -> Result<VersionInfo> {
        Ok(self.with_index(index::oldest)?.unwrap_or_else(VersionInfo::empty))
    }

    /// The versions before `before`, newest first, `most` at most.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn versions(&self, before: Option<u64>, most: u32) -> Result<Vec<ListedVersion>> {
        self.with_index(|index| index::versions_before(index, before, most))
    }

    /// What a body to `new` can be made against for a reader that has `since`.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn find_base(self: &Arc<Self>, new: &VersionInfo, since: &Since) -> Result<BaseFound> {
        let held = lock(&self.retention);
        let (listed, tag) = match since {
            Since::Nothing => return Ok(BaseFound::Nothing),
            Since::Tag(tag) if tag.version == 0 => {
                let is_empty = *tag == VersionInfo::empty().tag();
                return Ok(if is_empty { BaseFound::Nothing } else { BaseFound::Unknown });
            }
            Since::Tag(tag) => {
                if tag.version > self.current().version {
                    return Ok(BaseFound::Unknown);
                }
                let found = self.with_index(|index| index::version_not_after(index, tag.version))?;
                (found.filter(|info| info.version == tag.version), *tag)
            }
            Since::Root(root) => match self.with_index(|index| index::version_of(index, root))? {
                Some(info) => (Some(info.clone()), info.tag()),
                None => return Ok(BaseFound::Unknown),
            },
        };
        if let Some(info) = listed {
            if info.tag() != tag {
                return Ok(BaseFound::Unknown);
            }
            if info.page_size != new.page_size {
                return Ok(BaseFound::Nothing);
            }
            let (page_count, root_prefix) = (info.page_count, tag.root_prefix);
            let pinned = Some(self.pin_version(info));
            return Ok(BaseFound::Known(BodyBase { version: tag.version, root_prefix, page_count, pinned }));
        }
        let begun = self.with_index(|index| index::meta(index, index::BEGUN))?;
        if begun.and_then(|begun| begun.parse().ok()).is_some_and(|begun: u64| tag.version < begun) {
            return Ok(BaseFound::Unknown);
        }
        drop(held);
        // No longer listed, it is trusted: what has not changed since is in it, and the root guards the rest.
        let unchanged = self.unchanged_since(tag.version, new.page_count)?;
        Ok(match unchanged.iter().last() {
            None => BaseFound::Nothing,
            Some(last) => BaseFound::Known(BodyBase {
                version: tag.version,
                root_prefix: tag.root_prefix,
                page_count: PageCount(last.get()),
                pinned: None,
            }),
        })
    }

    /// The pages that a body from `base` to `new` must have, ascending; it may name some that are equal.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn differing(&self, base: &BodyBase, new: &VersionInfo) -> Result<Vec<PageNo>> {
        let lock_page = new.page_size.map(PageSize::lock_page);
        let differs = if base.pinned.is_some() {
            let (low, high) = (base.version.min(new.version), base.version.max(new.version));
            let mut differs = self.with_index(|index| index::changed_between(index, low, high))?;
            for page in new.page_count.pages_beyond(base.page_count) {
                differs.insert(page);
            }
            differs
        } else {
            let unchanged = self.unchanged_since(base.version, new.page_count)?;
            new.page_count.pages().filter(|page| !unchanged.contains(*page)).collect()
        };
        let wanted = |page: &PageNo| new.page_count.contains(*page) && Some(*page) != lock_page;
        Ok(differs.iter().filter(wanted).collect())
    }

    fn unchanged_since(&self, version: u64, count: PageCount) -> Result<PageSet> {
        self.with_index(|index| index::unchanged_since(index, version, count))
    }
}
