//! `POST …/functions/keys`: a new key of the database's own, or one that was EdgePod's (FUN-54).

use ferry_control::{ImportFunctionKey, RotateFunctionKey};
use ferry_types::{Error, Reason, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{entry::RequestContext, hub::Hub};

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "lowercase", deny_unknown_fields)]
enum Wanted {
    Rotate,
    Import { jwk: Value },
}

/// Does what the body asks for whom [`enter_admin`](super::enter_admin) let in; gives the body of the answer.
///
/// # Errors
/// A body that asks for nothing known, without showing it; what the control plane refuses.
pub(in crate::functions) async fn keys(hub: &Hub, context: &RequestContext, body: &[u8]) -> Result<Value> {
    let wanted = serde_json::from_slice(body).map_err(|_| {
        let message = r#"the body must be {"action":"rotate"} or {"action":"import","jwk":{…}}"#;
        Error::new(Reason::InvalidArgument, message)
    })?;
    let (by, database_id, db) = (&*context.requester, context.auth.database_id, &hub.control.db);
    let kid = match wanted {
        Wanted::Rotate => RotateFunctionKey { by, database_id }.run(db).await?,
        Wanted::Import { jwk } => ImportFunctionKey { by, database_id, jwk: &jwk }.run(db).await?,
    };
    Ok(json!({ "kid": kid }))
}
