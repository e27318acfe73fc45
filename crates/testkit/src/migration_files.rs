//! Migration files of functions, as deployments bring them.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A file that follows `parent`.
#[must_use]
pub fn migration_file(id: &str, parent: Option<&str>, sql: &str) -> Value {
    let sha256: String = Sha256::digest(sql.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "id": id, "parent": parent, "name": id, "sha256": sha256, "sql": sql })
}
