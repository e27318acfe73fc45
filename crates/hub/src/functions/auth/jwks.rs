//! The public keys of a database with local auth, for whoever verifies its tokens elsewhere (functions specification, 2.1).

use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};

use crate::hub::Hub;

/// `GET /.well-known/jwks.json` of the database that `path` names, else of the default one; nobody needs a credential.
pub(in crate::functions) fn jwks(hub: &Hub, path: Option<&str>) -> Response {
    let name = path.filter(|name| *name != "-");
    match hub.control.function_jwks(name) {
        Some(keys) => {
            let headers =
                [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "public, max-age=300")];
            (headers, keys).into_response()
        }
        None => (StatusCode::NOT_FOUND, "Not Found").into_response(),
    }
}
