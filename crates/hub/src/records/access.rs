//! Who asks, for which records, with which rights (records specification, 2.1, 3.3).

use std::sync::Arc;

use ferry_auth::{AuthContext, Principal};
use ferry_core::records::Tables;
use ferry_types::{DatabaseKind, Error, Reason, Result};
use http::request::Parts;

use super::{owners, watermark};
use crate::{
    control::{self, ClientInfo, Credentials, Meter, Requester},
    database::Database,
    http::{RequestBody, request_origin},
    hub::Hub,
    rights::Right,
};

/// Everything that a request is let in with.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) database: Arc<Database>,
    pub(super) owner: Arc<str>,
    pub(super) auth: AuthContext,
    /// What it may transfer: every body and frame is charged, in both directions.
    pub(super) meter: Meter,
    /// Whose request it is, for the audit trail.
    pub(super) requester: Arc<Requester>,
}

impl Entry {
    /// The collections that the credential reaches.
    pub(super) fn tables(&self) -> Tables<'_> {
        Tables(&self.auth.restrictions.table_prefixes)
    }

    /// Refuses a collection that the credential does not reach (REC-33).
    ///
    /// # Errors
    /// `PERMISSION_DENIED`.
    pub(super) fn check_table(&self, coll: &str) -> Result<()> {
        if self.tables().contain(coll) {
            return Ok(());
        }
        Err(Error::new(
            Reason::PermissionDenied,
            format!("this credential does not reach the collection {coll}"),
        ))
    }
}

/// Checks the credentials of the request with this head, and finds their records. `route`: `{db}` of the path.
///
/// # Errors
/// 401, 403, 404, 409 for a pushed file, 429 for a byte budget that is spent, 503.
pub(super) async fn enter(
    hub: &Arc<Hub>,
    credentials: &Credentials<'_>,
    parts: &Parts,
    route: Option<&str>,
    rights: &[Right],
) -> Result<Entry> {
    let origin = request_origin(parts);
    let client = ClientInfo::of(origin.ip, &parts.headers);
    let auth = hub.control.authenticate(credentials, &client, route).await?;
    rights.iter().try_for_each(|right| right.check(&auth))?;
    let auth = match hub.config.records.database_per_user {
        true => hub.control.in_user_database(auth, &origin).await?,
        false => auth,
    };
    let meter = hub.control.meter(&auth).await?;
    let kind = hub.control.database(auth.database_id).and_then(|entry| entry.kind);
    if kind == Some(DatabaseKind::Replica) {
        return Err(control::wrong_kind(DatabaseKind::Replica));
    }
    if let Principal::Jwt(jwt) = &auth.principal
        && jwt.subject.is_empty()
    {
        return Err(Error::new(Reason::Unauthenticated, "missing subject"));
    }
    let owner = auth.principal.owner();
    let database = hub.databases.get(auth.database_id)?;
    watermark::compare(hub, &database).await?;
    let requester: Arc<Requester> = hub.control.requester(&auth, rights, origin).into();
    if let Some(body) = parts.extensions.get::<RequestBody>() {
        body.belongs_to(&requester.principal);
    }
    let entry = Entry { database, owner, auth, meter, requester };
    owners::claim(&entry).await?;
    Ok(entry)
}
