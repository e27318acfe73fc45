//! `GET /oauth/{github|google}/callback`: where a provider sends the browser back to (OAU-05…07).

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Path, RawQuery, State},
    response::{Html, IntoResponse as _, Response},
};
use ferry_auth::oauth::{
    Provider,
    callback::{self, Callback},
};
use ferry_types::Error;
use http::{HeaderValue, StatusCode, header};

use crate::{
    http::{retry_after, status_of},
    hub::Hub,
};
use ferry_control::{ClientIp, Return};

/// The callback of a provider.
pub(crate) async fn come_back(
    State(hub): State<Arc<Hub>>,
    Path(provider): Path<String>,
    Extension(ip): Extension<ClientIp>,
    RawQuery(query): RawQuery,
) -> Response {
    let Ok(provider) = provider.parse::<Provider>() else {
        return (StatusCode::NOT_FOUND, "Not Found").into_response();
    };
    if let Err(error) = hub.control.accounts.charge_public(ip) {
        return refusal(&error);
    }
    let query = query.unwrap_or_default();
    let callback = match Callback::read(&query) {
        Ok(callback) => callback,
        Err(error) => {
            if let Some(cause) = callback::cause(&query) {
                tracing::warn!(%provider, %cause, "a provider did not log somebody in");
            }
            return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response();
        }
    };
    match hub.control.oauth.return_of(provider.as_str(), &callback.state).await {
        Ok(Return::Loopback(port)) => redirect(&callback.loopback_url(port)),
        Ok(Return::Page) => {
            // Behind the #, where neither logs nor other sites see it.
            let Callback { state, code } = &callback;
            redirect(&format!("{}/_/sign-in#state={state}&code={code}", hub.config.listener.public_path()))
        }
        Ok(Return::Ferry) => Html(callback.page("ferry")).into_response(),
        Ok(Return::EdgeReplica) => Html(callback.page("edgereplica")).into_response(),
        Err(error) => refusal(&error),
    }
}

fn redirect(url: &str) -> Response {
    match HeaderValue::from_str(url) {
        Ok(location) => (StatusCode::FOUND, [(header::LOCATION, location)]).into_response(),
        Err(_) => refusal(&Error::internal()),
    }
}

fn refusal(error: &Error) -> Response {
    let mut response = (status_of(error.reason), format!("{error}\n")).into_response();
    retry_after(&mut response, error.retry_after_ms);
    response
}
