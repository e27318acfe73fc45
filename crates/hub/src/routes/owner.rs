//! Whose a request is: the table of root routes. First match wins; path and query names decide, never a credential.

use ferry_types::Model;
use http::{HeaderMap, header, request::Parts};

/// Headers by which a request to `/ws` is known to be for functions.
const FUNCTION_HEADERS: [&str; 2] = ["x-edgepod-key", "ferry-key"];
/// The subprotocol of functions.
const FUNCTION_PROTOCOL: &str = "ferry.functions.v1";

/// Whose a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathOwner {
    /// Health, metrics, OAuth, RPC, what is under no model.
    Hub,
    /// A sync model's.
    Model(Model),
    /// A sync model's, of a wire with a CORS of its own (LiveStore's, EdgePod's).
    BeforeCors(Model),
}

/// The owner of a request.
pub(crate) fn owner(parts: &Parts) -> PathOwner {
    let path = parts.uri.path();
    if let Some(owner) = fixed(path) {
        return owner;
    }
    let has = |name: &str| has_parameter(parts.uri.query(), name);
    if has("storeId") {
        return PathOwner::BeforeCors(Model::Events);
    }
    match path.trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
        ["sync"] => PathOwner::Model(Model::Pages),
        ["sync", "push" | "pull", ..] => PathOwner::Model(Model::Ops),
        ["sync", _, ..] => PathOwner::Model(Model::Records),
        ["ws"] if has("key") || has("sessionId") || is_for_functions(&parts.headers) => {
            PathOwner::BeforeCors(Model::Functions)
        }
        ["ws"] | ["ws", _] => PathOwner::Model(Model::Records),
        ["livestore" | "websocket"] | ["livestore" | "websocket", ""] => PathOwner::BeforeCors(Model::Events),
        _ => PathOwner::Hub,
    }
}

/// Rows 1 to 4: what no query can take away.
fn fixed(path: &str) -> Option<PathOwner> {
    match path {
        "/healthz" | "/health" | "/readyz" | "/metrics" => return Some(PathOwner::Hub),
        "/.well-known/jwks.json" => return Some(PathOwner::BeforeCors(Model::Functions)),
        _ => {}
    }
    let under = |prefix: &str| path.strip_prefix(prefix);
    if under("/oauth/").is_some()
        || under("/edgereplica.admin.v1.AdminService/").is_some()
        || under("/ferry.admin.v1.AdminService/").is_some()
    {
        return Some(PathOwner::Hub);
    }
    if under("/rpc/").is_some() {
        return Some(PathOwner::BeforeCors(Model::Functions));
    }
    let below = under("/v1/")?;
    let mut names = below.split('/');
    Some(match (names.next(), names.next(), names.next()) {
        (Some("databases"), Some(_), Some(model)) => match model {
            "file" | "pages" | "restore" | "fork" => PathOwner::Model(Model::Pages),
            // Only events ignore a trailing slash.
            "livestore" if names.all(str::is_empty) => PathOwner::BeforeCors(Model::Events),
            "events" => PathOwner::Model(Model::Events),
            "records" => PathOwner::Model(Model::Records),
            "ops" | "hephd" => PathOwner::Model(Model::Ops),
            "functions" | "rpc" | "ws" | ".well-known" => PathOwner::BeforeCors(Model::Functions),
            _ => PathOwner::Hub,
        },
        _ => PathOwner::Hub,
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

    fn of(uri: &str, headers: &[(&str, &str)]) -> PathOwner {
        let mut request = http::Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        owner(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn the_table_of_root_routes() {
        for (uri, expected) in [
            ("/healthz?storeId=a", PathOwner::Hub),
            ("/oauth/github/callback?storeId=a", PathOwner::Hub),
            ("/ferry.admin.v1.AdminService/Whoami?storeId=a", PathOwner::Hub),
            ("/v1/databases/app/livestore?storeId=a", PathOwner::BeforeCors(Model::Events)),
            ("/v1/databases/app/livestore/?storeId=a", PathOwner::BeforeCors(Model::Events)),
            ("/v1/databases/app/livestore/x?storeId=a", PathOwner::Hub),
            ("/v1/databases/app/events/live?storeId=a", PathOwner::Model(Model::Events)),
            ("/v1/databases/app/file?storeId=a", PathOwner::Model(Model::Pages)),
            ("/v1/databases/app/records/x", PathOwner::Model(Model::Records)),
            ("/v1/databases/app/hephd/sync/push", PathOwner::Model(Model::Ops)),
            ("/v1/databases/app/ws", PathOwner::BeforeCors(Model::Functions)),
            ("/v1/nothing?storeId=a", PathOwner::Hub),
            ("/rpc/f?storeId=a", PathOwner::BeforeCors(Model::Functions)),
            ("/?storeId=a&transport=ws", PathOwner::BeforeCors(Model::Events)),
            ("/livestore/?storeId=a", PathOwner::BeforeCors(Model::Events)),
            ("/any/path?x&storeId=a", PathOwner::BeforeCors(Model::Events)),
            ("/sync?storeId=a", PathOwner::BeforeCors(Model::Events)),
            ("/ws?key=k&storeId=a", PathOwner::BeforeCors(Model::Events)),
            ("/sync", PathOwner::Model(Model::Pages)),
            ("/sync/push", PathOwner::Model(Model::Ops)),
            ("/sync/pull/x", PathOwner::Model(Model::Ops)),
            ("/sync/app/stream", PathOwner::Model(Model::Records)),
            ("/ws?key=k", PathOwner::BeforeCors(Model::Functions)),
            ("/ws", PathOwner::Model(Model::Records)),
            ("/ws/app", PathOwner::Model(Model::Records)),
            ("/livestore", PathOwner::BeforeCors(Model::Events)),
            ("/websocket/", PathOwner::BeforeCors(Model::Events)),
            ("/", PathOwner::Hub),
            ("/?storeIdx=a", PathOwner::Hub),
            ("/elsewhere", PathOwner::Hub),
        ] {
            assert_eq!(of(uri, &[]), expected, "{uri}");
        }
        assert_eq!(of("/ws", &[("ferry-key", "k")]), PathOwner::BeforeCors(Model::Functions));
        assert_eq!(
            of("/ws", &[("sec-websocket-protocol", "x, ferry.functions.v1")]),
            PathOwner::BeforeCors(Model::Functions)
        );
    }
}
