//! Who asks, for which records, with which rights (records specification, 2.1, 3.3).

use std::sync::Arc;

use ferry_auth::{AuthContext, Principal};
use ferry_types::{DatabaseKind, Error, Reason, Result};
use http::request::Parts;

use super::{entry::RecordsEntry, maintenance, owners, watermark};

use crate::{
    entry::{self, Carriers, Needs, Policy, Tenant},
    hub::Hub,
    rights::Right,
};

/// Lets a request in, and finds its records. `path`: `{db}`.
///
/// # Errors
/// What [`entry::enter`] says, and what the control plane or storage reports.
pub(super) async fn enter(
    hub: &Arc<Hub>,
    parts: &Parts,
    carriers: Carriers<'_>,
    path: Option<&str>,
    rights: &[Right],
) -> Result<RecordsEntry> {
    let policy = Policy {
        carriers,
        path,
        tenant: hub.config.records.database_per_user.then_some(Tenant::User),
        needs: Needs::All(rights),
        commits: rights,
        condition: &has_subject,
        creates: None,
        kind: Some(DatabaseKind::Hub),
    };
    let context = entry::enter(hub, parts, &policy).await?;
    if watermark::compare(hub, &context.database).await? {
        let (hub, database) = (Arc::clone(hub), Arc::clone(&context.database));
        let tasks = hub.tasks.clone();
        // What became due while the database was not in use is done beside its first request.
        tasks.spawn(async move { maintenance::maintain(&hub, &database).await });
    }
    let entry = RecordsEntry { owner: context.auth.principal.owner(), context };
    owners::claim(&entry).await?;
    Ok(entry)
}

/// Refuses a JWT that names nobody whose records could be meant.
fn has_subject(auth: &AuthContext) -> Result<()> {
    match &auth.principal {
        Principal::Jwt(jwt) if jwt.subject.is_empty() => {
            Err(Error::new(Reason::MissingSubject, "missing subject"))
        }
        _ => Ok(()),
    }
}
