//! A replica's present version for whoever copies it, a backup above all.

use std::sync::Arc;

use ferry_sqlite::pages::PinnedVersion;
use ferry_types::Result;

use crate::{database::Database, hub::Hub};

/// The present version of a replica, which stays readable whatever is pushed meanwhile.
///
/// # Errors
/// When its files cannot be opened.
pub(crate) async fn pinned(hub: &Hub, database: &Arc<Database>) -> Result<PinnedVersion> {
    Ok(database.models().pages.replica(hub, database).await?.pin())
}
