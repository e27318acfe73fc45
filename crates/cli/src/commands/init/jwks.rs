//! Whether an issuer's keys are where the developer says (FUN-70).

use std::time::Duration;

use bytes::Bytes;
use ferry_auth::jwt::KeySet;
use ferry_http_client::{Bounds, HttpClient, Reach, RemoteUrl};
use http::Request;

use crate::failure::Failure;

/// Bounds of the one request.
const BOUNDS: Bounds = Bounds { timeout: Duration::from_secs(10), max_bytes: 1 << 20 };

/// Fetches the key set, as the hub will.
pub(super) async fn check(url: &str) -> Result<(), Failure> {
    let wrong = |why: &str| {
        Failure::Usage(format!(
            "--jwks-url {url}: {why}. It is where the issuer shows its public keys, such as \
             https://issuer.example/.well-known/jwks.json"
        ))
    };
    let uri = RemoteUrl::secure(url).map_err(wrong)?.uri();
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = uri;
    let answer = HttpClient::default().send(request, Reach::Anywhere, BOUNDS).await;
    let answer = answer.map_err(|error| wrong(&format!("it cannot be fetched: {error}")))?;
    if !answer.status().is_success() {
        return Err(wrong(&format!("it answered {}", answer.status())));
    }
    match KeySet::parse(answer.body()) {
        Ok(keys) if keys.is_empty() => Err(wrong("it holds no key that Ferry verifies with")),
        Ok(_) => Ok(()),
        Err(_) => Err(wrong("what it answered is no JSON Web Key Set")),
    }
}
