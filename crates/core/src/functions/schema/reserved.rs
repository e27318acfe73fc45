//! Names that belong to SQLite, to the hub, and to the views of the other sync models: a deployment takes none of them.

/// What the names of indexes of collections begin with.
pub(super) const INDEX_PREFIX: &str = "_ferry_fn_index_";

/// What tables have names that begin so while they are rebuilt.
pub(super) const REBUILT: &str = "__ferry_new_";

/// Why a deployment cannot take this name; `None`: it can.
#[must_use]
pub fn reason(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    if name.starts_with("sqlite_") {
        Some("names that begin with sqlite_ are SQLite's own")
    } else if name.starts_with("_ferry_") || name.starts_with("__ferry_") {
        Some("names that begin with _ferry_ are the hub's own")
    } else if name == "events" {
        Some("this is the view of the database's events; choose another name")
    } else if name.starts_with("ops_") {
        Some("names that begin with ops_ are views of the database's ops; choose another one")
    } else if name.starts_with("records_") && name.contains("__") {
        Some(
            "names like records_<app>__<collection> are views of the database's records; declare a collection instead",
        )
    } else {
        None
    }
}

/// The table that is copied into one with this name; or the name itself.
#[must_use]
pub fn original(name: &str) -> &str {
    name.strip_prefix(REBUILT).unwrap_or(name)
}

/// Whether what is called so is not the application's.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    reason(name).is_some()
}
