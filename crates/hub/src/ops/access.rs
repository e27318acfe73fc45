//! Who asks, for which log, with which rights (ops specification, OPS-50 to OPS-52).

use std::sync::Arc;

use ferry_core::ops::Prefixes;
use ferry_types::{DatabaseKind, Error, Reason, Result, Seq};
use http::{HeaderMap, request::Parts};

use super::{maintenance, watermark};
use crate::{
    entry::{self, Carriers, Needs, Policy, RequestContext},
    hub::Hub,
    rights::{OPS_ADMIN, Right},
};

/// Lets a request in. `path`: `{db}`.
///
/// # Errors
/// What [`entry::enter`] says, and what the control plane or storage reports.
pub(super) async fn enter(
    hub: &Arc<Hub>,
    parts: &Parts,
    carriers: Carriers<'_>,
    path: Option<&str>,
    right: Right,
) -> Result<RequestContext> {
    let policy = Policy {
        carriers,
        path,
        tenant: None,
        needs: Needs::All(&[right]),
        commits: &[right],
        condition: &entry::anybody,
        creates: None,
        kind: Some(DatabaseKind::Hub),
    };
    let context = entry::enter(hub, parts, &policy).await?;
    if watermark::compare(hub, &context.database).await? {
        maintenance::opened(hub, &context.database);
    }
    Ok(context)
}

/// The entities that the credential reaches.
pub(super) fn prefixes(context: &RequestContext) -> Prefixes<'_> {
    Prefixes(&context.auth.restrictions.table_prefixes)
}

/// Refuses a credential that is narrowed to some entities, where all of the log is meant.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(super) fn check_whole(context: &RequestContext) -> Result<()> {
    if context.auth.restrictions.table_prefixes.is_empty() {
        return Ok(());
    }
    let message = "this credential reaches some entities (caveat tbl), and this request means the whole log: use a \
                   credential without the caveat";
    Err(Error::new(Reason::PermissionDenied, message))
}

/// Refuses an entity that the credential does not reach (OPS-52).
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(super) fn check_entity(context: &RequestContext, entity: &str) -> Result<()> {
    if prefixes(context).contain(Some(entity)) {
        return Ok(());
    }
    Err(Error::new(Reason::PermissionDenied, format!("this credential does not reach the entity {entity}")))
}

/// Whether ops of any origin are taken from the holder.
pub(super) fn is_admin(context: &RequestContext) -> bool {
    OPS_ADMIN.check(&context.auth).is_ok()
}

/// Waits until the database has the commit that `Ferry-Min-Seq` asks for.
///
/// # Errors
/// `INVALID_ARGUMENT`, `SEQ_NOT_REACHED`.
pub(super) async fn reach(context: &RequestContext, headers: &HeaderMap) -> Result<()> {
    let Some(value) = headers.get("ferry-min-seq") else { return Ok(()) };
    let least = value.to_str().ok().and_then(|text| text.parse().ok()).map(Seq);
    let least =
        least.ok_or_else(|| Error::new(Reason::InvalidArgument, "Ferry-Min-Seq: expected a number"))?;
    context.database.reach(least).await
}
