//! A version of a database that the hub writes becomes a database of its own (PAG-31).

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
};

use ferry_types::{Clock, Seq};

use super::Rescan;
use crate::{
    NativeSql, Result, Transaction, Writer, fault,
    pages::{PageSource, Replica, ReplicaConfig, VersionInfo, image_of},
};

/// Makes the image of `source` the database of the new folder `dir`. Its first commit is `remint`, which gives what the copy
/// shares with the original identities of its own. What is left behind by a failure is the caller's to remove.
///
/// # Errors
/// When a page cannot be read or written, or what `remint` fails with.
pub fn make_captured_fork(
    dir: &Path,
    source: &dyn PageSource,
    config: ReplicaConfig,
    clock: Arc<dyn Clock>,
    remint: impl FnOnce(&NativeSql<'_>, Seq) -> Result<()>,
) -> Result<VersionInfo> {
    let Some(mut image) = image_of(source, dir)? else { return Ok(VersionInfo::empty()) };
    let main = dir.join("main.db");
    image.seal_as_wal()?;
    image.rename(&main)?;
    crate::folder::sync(dir)?;
    fault::point("captured_fork.image")?;
    let mut writer = Writer::open(&main)?;
    let mut remint = Some(remint);
    let answers = writer.run_group(&mut [()], |(), transaction: &mut Transaction<'_, ()>| {
        let remint = remint.take().expect("BUG: a request runs once");
        // It is a commit even if there is nothing to remint: two databases never have one tag.
        transaction.effect(());
        remint(&transaction.sql(), transaction.seq())
    });
    answers.into_iter().try_for_each(|answer| answer.map(drop))?;
    writer.close()?;
    let frames = Arc::new(AtomicU64::new(0));
    let opened = Replica::open_captured(dir, config, clock, Box::new(()), &frames, Rescan::Allowed)?;
    Ok(opened.map_or_else(VersionInfo::empty, |replica| replica.current()))
}
