//! The description of the hub's HTTP (OpenAPI 3.1), as it is written.

/// The document, which tests hold against the routes.
pub(crate) static DOCUMENT: &str = include_str!("openapi.json");
