//! What conflict ops say that was lost (OPS-25).

use std::borrow::Cow;

use ferry_protocol::ops::{FerryOp, conflict_id};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{ops::row, sql::Sql};

/// What the value of a conflict op says.
#[derive(Deserialize)]
pub(super) struct ToldLoss<'a> {
    #[serde(borrow)]
    pub(super) op: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) value: &'a RawValue,
}

/// What the conflict op `conflict` says that was lost; `None`: it is not of the form that hubs write.
pub(super) fn lost_write(conflict: &FerryOp) -> Option<ToldLoss<'_>> {
    let lost: ToldLoss<'_> = serde_json::from_str(conflict.value.as_deref()?).ok()?;
    // An id that belongs to another op would be opened and closed with that one.
    (conflict_id(&lost.op) == conflict.id).then_some(lost)
}

/// What the conflict op about `op` says that was lost, if there is one. `arriving`: an op that is stored after this.
pub(super) fn told_value<S: Sql>(
    sql: &S,
    op: &str,
    arriving: Option<&FerryOp>,
) -> Result<Option<String>, S::Error> {
    let id = conflict_id(op);
    let value = |conflict: &FerryOp| lost_write(conflict).map(|lost| lost.value.get().to_owned());
    if let Some(arriving) = arriving.filter(|arriving| arriving.id == id) {
        return Ok(value(arriving));
    }
    Ok(row::ferry(sql, &id)?.as_ref().and_then(value))
}
