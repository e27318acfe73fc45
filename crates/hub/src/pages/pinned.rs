//! The present version of a database for whoever copies it, a backup above all.

use std::sync::Arc;

use ferry_sqlite::pages::PinnedVersion;
use ferry_types::Result;

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
