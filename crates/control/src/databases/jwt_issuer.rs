//! Whose JWTs reach a database.

use std::sync::Arc;

use ferry_types::DatabaseId;

use crate::control_db::ControlDb;

/// The only issuer whose JWTs reach a database: by its own settings, or by those of the default one; `None` where any
/// does, or none.
pub(crate) fn jwt_issuer(db: &ControlDb, id: DatabaseId) -> Option<Arc<str>> {
    let directory = db.directory();
    let by_default = || directory.default_database().and_then(|id| directory.jwt_entry(id));
    let entry = directory.jwt_entry(id).or_else(by_default)?;
    entry.settings.issuer().map(Arc::from)
}
