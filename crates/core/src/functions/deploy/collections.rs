//! The collections that functions of a database see as tables.

use super::deployments::active;
use crate::{functions::schema::DatabaseSchema, sql::Sql};

/// A view of a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionView {
    /// Its name, and that of the collection.
    pub view: String,
    /// The app.
    pub app: String,
}

/// The collections of the deployment that runs.
///
/// # Errors
/// What storage reports.
pub fn collections<S: Sql>(sql: &S) -> Result<Vec<CollectionView>, S::Error> {
    let Some(deployment) = active(sql)? else { return Ok(Vec::new()) };
    // It was read before it was stored.
    let schema = DatabaseSchema::from_json(&deployment.schema_json).unwrap_or_default();
    let all = schema.collections.into_iter();
    Ok(all.map(|collection| CollectionView { view: collection.name, app: collection.app }).collect())
}
