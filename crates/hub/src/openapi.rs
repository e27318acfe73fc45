//! The description of the hub's HTTP (OpenAPI 3.1), for programs. It is kept by hand in `openapi.json`; tests hold its paths
//! against the routes, both ways, and real answers against its schemas.

use std::sync::LazyLock;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};

use crate::{api_document::DOCUMENT, http::KnownTags};

/// Another document has another one.
static TAG: LazyLock<String> =
    LazyLock::new(|| format!("\"{}\"", &blake3::hash(DOCUMENT.as_bytes()).to_hex()[..16]));

/// `GET /v1/openapi.json`.
pub(crate) async fn get(headers: HeaderMap) -> Response {
    let tags = [(header::ETAG, TAG.as_str()), (header::CACHE_CONTROL, "no-cache")];
    if KnownTags::of(&headers).has(&TAG) {
        return (StatusCode::NOT_MODIFIED, tags).into_response();
    }
    (tags, [(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use serde_json::Value;

    use super::*;
    use crate::written_page::compare;

    /// What a table's cell takes for its end.
    fn cell(text: &str) -> String {
        text.replace('|', "\\|")
    }

    // Verifies: OPR-76
    #[test]
    fn docs_of_http() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut page = String::from(
            "# HTTP\n\n\
             Every request that a hub answers. `GET /v1/openapi.json` gives the same to programs, with the schemas of answers; this page\n\
             is made of it. `{db}` is the id or the name of a database, or `-` for that of the credential; *needs* is what the credential\n\
             must open ([credentials](securing-a-hub.md#credentials-what-each-may-do)). Bodies and streams are told on the pages of each\n\
             model.\n",
        );
        for tag in document["tags"].as_array().unwrap() {
            let (name, meaning) = (tag["name"].as_str().unwrap(), tag["description"].as_str().unwrap());
            let title = name[..1].to_uppercase() + &name[1..];
            write!(page, "\n## {title}\n\n{meaning}.\n\n| request | what | needs |\n|---|---|---|\n")
                .unwrap();
            for (path, methods) in document["paths"].as_object().unwrap() {
                for (method, operation) in methods.as_object().unwrap() {
                    if operation["tags"][0] != *name {
                        continue;
                    }
                    let query: Vec<&str> = operation["parameters"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter(|one| one["in"] == "query")
                        .filter_map(|one| one["name"].as_str())
                        .collect();
                    let query =
                        if query.is_empty() { String::new() } else { format!("?{}=", query.join("=&")) };
                    let needs = operation["x-ferry-right"].as_str().unwrap_or("nothing");
                    let summary = cell(operation["summary"].as_str().unwrap());
                    writeln!(page, "| `{} {path}{query}` | {summary} | {needs} |", method.to_uppercase())
                        .unwrap();
                }
            }
        }
        compare("docs/http.md", &page);
    }
}
