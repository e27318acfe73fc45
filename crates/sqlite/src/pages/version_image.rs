//! A version as an SQLite file of its own.

use std::path::Path;

use ferry_types::PageNo;

use super::{ImageFile, PageSource};
use crate::Result;

/// Bytes that are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// The version of `source` as a file in `dir`; `None` for the empty database.
///
/// # Errors
/// When a page cannot be read or written.
pub fn image_of(source: &dyn PageSource, dir: &Path) -> Result<Option<ImageFile>> {
    let info = source.info();
    let Some(size) = info.page_size else { return Ok(None) };
    let mut image = ImageFile::create(dir, size, info.page_count)?;
    let pages: Vec<PageNo> = info.page_count.pages().filter(|page| *page != size.lock_page()).collect();
    for part in pages.chunks((COPY_BYTES / size.bytes()).max(1)) {
        source.read(part, &mut |page, data| image.write(page, data))?;
    }
    image.flush()?;
    Ok(Some(image))
}
