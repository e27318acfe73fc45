//! Versions of a database for whoever is let in otherwise: the present one for whoever copies it, a backup above all; an older
//! one for whoever looks into it.

use std::sync::Arc;

use ferry_sqlite::pages::{PageSource as _, PinnedVersion, VersionInfo};
use ferry_types::Result;

use super::api::{PagesError, parse_at, version_at};
use crate::{database::Database, hub::Hub};

/// The present version of a database, with all that was committed until now, which stays readable whatever is written meanwhile. One
/// that the hub writes is captured from then on.
///
/// # Errors
/// When its files cannot be opened.
pub(crate) async fn pinned(hub: &Hub, database: &Arc<Database>) -> Result<PinnedVersion> {
    let newest = database.newest_seq();
    Ok(database.models().pages.versions(hub, database, newest).await?.pin())
}

/// The version of a database that `at` names, a number, a tag, a time, unless `judge` refuses it.
///
/// # Errors
/// One that is not kept, with the oldest that is; one that never was; what `judge` says; when its files cannot be opened.
pub(crate) async fn pinned_at(
    hub: &Hub,
    database: &Arc<Database>,
    at: &str,
    judge: impl FnOnce(&VersionInfo) -> Result<()>,
) -> Result<PinnedVersion> {
    let at = parse_at(at)?;
    let newest = database.newest_seq();
    let replica = database.models().pages.versions(hub, database, newest).await?;
    let current = replica.pin();
    version_at(hub, &replica, current.info(), at, judge).await.map_err(PagesError::into_error)
}
