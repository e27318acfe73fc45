//! Back to the code of an earlier deployment, where the schema is still its own.

use super::{
    deployments::{activate, active, find},
    failure::DeployRefusal,
};
use crate::{
    functions::schema::{DatabaseSchema, schema_hash},
    sql::Sql,
};

/// Makes a kept deployment the one that runs; `Err`: why it cannot be.
///
/// # Errors
/// What storage reports.
pub fn rollback<S: Sql>(sql: &S, id: &str) -> Result<Result<(), DeployRefusal>, S::Error> {
    let (Some(now), Some(then)) = (active(sql)?, find(sql, id)?) else {
        return Ok(Err(DeployRefusal::Invalid(format!(
            "deployment {id} is not kept here; GET info lists those that are"
        ))));
    };
    let hash = |json: &str| DatabaseSchema::from_json(json).ok().map(|schema| schema_hash(&schema));
    if hash(&now.schema_json) != hash(&then.schema_json) {
        return Ok(Err(DeployRefusal::conflict(format!(
            "deployment {id} was made for another schema than that of {}: deploy its sources with migrations that lead back",
            now.id
        ))));
    }
    activate(sql, id)?;
    Ok(Ok(()))
}
