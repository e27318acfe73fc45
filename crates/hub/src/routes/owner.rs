//! Whose a request is: the table of root routes. First match wins; path and query names decide, never a credential.

use http::{HeaderMap, header, request::Parts};

/// Headers by which a request to `/ws` is known to be for functions.
const FUNCTION_HEADERS: [&str; 2] = ["x-edgepod-key", "ferry-key"];
/// The subprotocol of functions.
const FUNCTION_PROTOCOL: &str = "ferry.functions.v1";

/// Whose a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Health, metrics, OAuth, RPC, what is under no model.
    Hub,
    /// Page sync.
    Pages,
    /// LiveStore's wire.
    LiveStore,
    /// Ferry's own view of events: `/v1/databases/{db}/events…`.
    Events,
    /// Records.
    Records,
    /// Op-log.
    Ops,
    /// Functions.
    Functions,
}

/// The owner of a request.
pub(crate) fn owner(parts: &Parts) -> Owner {
    let path = parts.uri.path();
    if let Some(owner) = fixed(path) {
        return owner;
    }
    let has = |name: &str| has_parameter(parts.uri.query(), name);
    if has("storeId") {
        return Owner::LiveStore;
    }
    match path.trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
        ["sync"] => Owner::Pages,
        ["sync", "push" | "pull", ..] => Owner::Ops,
        ["sync", _, ..] => Owner::Records,
        ["ws"] if has("key") || has("sessionId") || is_for_functions(&parts.headers) => Owner::Functions,
        ["ws"] | ["ws", _] => Owner::Records,
        ["livestore" | "websocket"] | ["livestore" | "websocket", ""] => Owner::LiveStore,
        _ => Owner::Hub,
    }
}

/// Rows 1 to 4: what no query can take away.
fn fixed(path: &str) -> Option<Owner> {
    match path {
        "/healthz" | "/health" | "/readyz" | "/metrics" => return Some(Owner::Hub),
        "/.well-known/jwks.json" => return Some(Owner::Functions),
        _ => {}
    }
    let under = |prefix: &str| path.strip_prefix(prefix);
    if under("/oauth/").is_some()
        || under("/edgereplica.admin.v1.AdminService/").is_some()
        || under("/ferry.admin.v1.AdminService/").is_some()
    {
        return Some(Owner::Hub);
    }
    if under("/rpc/").is_some() {
        return Some(Owner::Functions);
    }
    let below = under("/v1/")?;
    let mut names = below.split('/');
    Some(match (names.next(), names.next(), names.next()) {
        (Some("databases"), Some(_), Some(model)) => match model {
            "file" | "pages" | "restore" | "fork" => Owner::Pages,
            // Only events ignore a trailing slash.
            "livestore" if names.all(str::is_empty) => Owner::LiveStore,
            "events" => Owner::Events,
            "records" => Owner::Records,
            "ops" | "hephd" => Owner::Ops,
            "functions" | "rpc" | "ws" | ".well-known" => Owner::Functions,
            _ => Owner::Hub,
        },
        _ => Owner::Hub,
    })
}

fn has_parameter(query: Option<&str>, name: &str) -> bool {
    query.unwrap_or("").split('&').any(|pair| pair.split('=').next() == Some(name))
}

fn is_for_functions(headers: &HeaderMap) -> bool {
    let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    FUNCTION_HEADERS.iter().any(|name| headers.contains_key(*name))
        || protocols.flat_map(|list| list.split(',')).any(|name| name.trim() == FUNCTION_PROTOCOL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str, headers: &[(&str, &str)]) -> Owner {
        let mut request = http::Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        owner(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_table_of_root_routes() {
        for (uri, expected) in [
            ("/healthz?storeId=a", Owner::Hub),
            ("/oauth/github/callback?storeId=a", Owner::Hub),
            ("/ferry.admin.v1.AdminService/Whoami?storeId=a", Owner::Hub),
            ("/v1/databases/app/livestore?storeId=a", Owner::LiveStore),
            ("/v1/databases/app/livestore/?storeId=a", Owner::LiveStore),
            ("/v1/databases/app/livestore/x?storeId=a", Owner::Hub),
            ("/v1/databases/app/events/live?storeId=a", Owner::Events),
            ("/v1/databases/app/file?storeId=a", Owner::Pages),
            ("/v1/databases/app/records/x", Owner::Records),
            ("/v1/databases/app/hephd/sync/push", Owner::Ops),
            ("/v1/databases/app/ws", Owner::Functions),
            ("/v1/nothing?storeId=a", Owner::Hub),
            ("/rpc/f?storeId=a", Owner::Functions),
            ("/?storeId=a&transport=ws", Owner::LiveStore),
            ("/livestore/?storeId=a", Owner::LiveStore),
            ("/any/path?x&storeId=a", Owner::LiveStore),
            ("/sync?storeId=a", Owner::LiveStore),
            ("/ws?key=k&storeId=a", Owner::LiveStore),
            ("/sync", Owner::Pages),
            ("/sync/push", Owner::Ops),
            ("/sync/pull/x", Owner::Ops),
            ("/sync/app/stream", Owner::Records),
            ("/ws?key=k", Owner::Functions),
            ("/ws", Owner::Records),
            ("/ws/app", Owner::Records),
            ("/livestore", Owner::LiveStore),
            ("/websocket/", Owner::LiveStore),
            ("/", Owner::Hub),
            ("/?storeIdx=a", Owner::Hub),
            ("/elsewhere", Owner::Hub),
        ] {
            assert_eq!(of(uri, &[]), expected, "{uri}");
        }
        assert_eq!(of("/ws", &[("ferry-key", "k")]), Owner::Functions);
        assert_eq!(of("/ws", &[("sec-websocket-protocol", "x, ferry.functions.v1")]), Owner::Functions);
    }
}
