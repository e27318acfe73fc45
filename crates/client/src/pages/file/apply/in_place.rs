//! Same page size: the differing pages are written in one transaction (PAG-44, PAG-64).

use ferry_sqlite::pages::dbpage::{CommittedPages, PageWriter};
use ferry_types::PageNo;

use crate::{
    ClientError, Result,
    pages::file::{Base, Part, image::BUSY_TIMEOUT, point},
    progress::Progress,
};

/// Writes the received pages of `part` over `base`, which must still be what was read, in one transaction. What is
/// returned knows of later commits of others.
///
/// # Errors
/// When the file is busy for 30 s, was changed meanwhile (nothing is written then), or cannot be written.
pub fn in_place(base: &Base, part: &Part, progress: &dyn Progress) -> Result<CommittedPages> {
    let failed = |error: ferry_sqlite::Error| ClientError::store(base.path().display(), &error);
    // Some files need page 1 written with any other page; writing what it holds harms none.
    let mut page1 = base.first_page().to_vec();
    if part.received().next().is_some_and(|(page, _)| page == PageNo::FIRST) {
        part.read(PageNo::FIRST, &mut page1)?;
    }
    let mut writer =
        PageWriter::begin(base.path(), BUSY_TIMEOUT, &page1, part.page_count()).map_err(failed)?;
    if !base.is_unchanged()? {
        return Err(ClientError::conflict(
            "FILE_CHANGED",
            format!("{} was changed while it was pulled: pull again", base.path().display()),
        ));
    }
    let mut page = vec![0; part.page_size().bytes()];
    for (number, _) in part.received() {
        if number != PageNo::FIRST {
            part.read(number, &mut page)?;
            writer.write(number, &page).map_err(failed)?;
        }
        progress.advance(page.len() as u64);
    }
    point("pull.write")?;
    let committed = writer.commit_and_watch().map_err(failed)?;
    point("pull.commit")?;
    Ok(committed)
}
