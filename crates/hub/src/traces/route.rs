//! The route of a request, without what stands in it: paths hold names that users chose.

use std::{borrow::Cow, collections::BTreeMap, sync::LazyLock};

use serde::de::IgnoredAny;

use crate::api_document::DOCUMENT;

/// Of paths that no route has: those of files, and those that applications chose for their event stores.
const OTHER: &str = "/other";
/// The way in of the dashboard, behind which stand routes again.
const DASHBOARD_API: &str = "/_/api";

/// Every path of the hub's description, which tests hold against the router.
static TEMPLATES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    #[derive(serde::Deserialize)]
    struct Document {
        #[serde(borrow)]
        paths: BTreeMap<&'static str, IgnoredAny>,
    }
    let document: Document = serde_json::from_str(DOCUMENT).expect("BUG: a test reads the document");
    document.paths.into_keys().collect()
});

/// `/v1/databases/{db}/events` of `/v1/databases/main/events`.
pub(super) fn template(path: &str) -> Cow<'static, str> {
    if let Some(rest) = path.strip_prefix(DASHBOARD_API) {
        return format!("{DASHBOARD_API}{}", of_hub(rest)).into();
    }
    if path.starts_with("/_/") {
        return "/_/".into();
    }
    of_hub(path).into()
}

/// The route with the fewest placeholders.
fn of_hub(path: &str) -> &'static str {
    let fitting = TEMPLATES.iter().filter(|template| fits(template, path));
    fitting.min_by_key(|template| template.matches('{').count()).copied().unwrap_or(OTHER)
}

fn fits(template: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given => {}
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPR-80
    #[test]
    fn a_route_says_nothing_of_what_stands_in_the_path() {
        for (path, route) in [
            ("/", "/"),
            ("/healthz", "/healthz"),
            ("/v1/databases/main/events", "/v1/databases/{db}/events"),
            ("/v1/databases/-/records/changes/stream", "/v1/databases/{db}/records/changes/stream"),
            ("/v1/databases/-/records/app/notes", "/v1/databases/{db}/records/{app}/{collection}"),
            ("/v1/databases/-/records/owners/ada@example.com", "/v1/databases/{db}/records/owners/{owner}"),
            ("/sync/push", "/sync/push"),
            ("/sync/my-app", "/sync/{appId}"),
            ("/rpc/todos%2Fadd", "/rpc/{function}"),
            ("/ferry.admin.v1.AdminService/Login", "/ferry.admin.v1.AdminService/{method}"),
            ("/_/", "/_/"),
            ("/_/assets/index.js", "/_/"),
            ("/_/api/v1/databases/main/events", "/_/api/v1/databases/{db}/events"),
            ("/my/own/store/path", "/other"),
            ("/v1/databases//events", "/other"),
            ("/_/api/nothing", "/_/api/other"),
        ] {
            assert_eq!(template(path), route, "{path}");
        }
    }
}
