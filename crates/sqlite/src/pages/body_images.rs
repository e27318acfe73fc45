//! The two images that a body of pages leads between, as the encoder reads them.

use std::{collections::VecDeque, sync::Arc};

use ferry_core::pages::body::{BodySource, CodecError};
use ferry_protocol::pages::body::runs_of;
use ferry_types::{Leaf, PageNo};

use super::{PageSource, PinnedVersion, contents::read_normal};
use crate::{Error, Result};

/// A version, and the one before it as far as it is kept.
pub struct BodyImages {
    new: Arc<dyn PageSource>,
    base: Option<PinnedVersion>,
}

impl BodyImages {
    /// What leads from `base` to `new`.
    #[must_use]
    pub fn new(new: Arc<dyn PageSource>, base: Option<PinnedVersion>) -> Self {
        Self { new, base }
    }
}

impl From<CodecError> for Error {
    fn from(error: CodecError) -> Self {
        std::io::Error::other(error).into()
    }
}

fn leaves(source: &(impl PageSource + ?Sized), pages: &[PageNo]) -> Result<VecDeque<Leaf>> {
    let mut leaves = VecDeque::with_capacity(pages.len());
    for run in runs_of(pages.iter().copied()) {
        let end = u32::try_from(run.end()).unwrap_or(u32::MAX);
        source.leaves(run.first, end, &mut leaves)?;
    }
    Ok(leaves)
}

impl BodySource for BodyImages {
    type Error = Error;

    fn leaves(&mut self, pages: &[PageNo], into: &mut Vec<Leaf>) -> Result<()> {
        into.extend(leaves(&*self.new, pages)?);
        Ok(())
    }

    fn read(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<()> {
        read_normal(&*self.new, pages, into)
    }

    fn base_leaves(&mut self, pages: &[PageNo], into: &mut Vec<Option<Leaf>>) -> Result<()> {
        match &self.base {
            Some(base) => into.extend(leaves(base, pages)?.into_iter().map(Some)),
            None => into.extend(pages.iter().map(|_| None)),
        }
        Ok(())
    }

    fn read_base(&mut self, pages: &[PageNo], into: &mut Vec<u8>) -> Result<()> {
        match &self.base {
            Some(base) => read_normal(base, pages, into),
            None if pages.is_empty() => Ok(()),
            None => Err(Error::Damaged("pages of a base that is not kept were asked for".into())),
        }
    }
}
