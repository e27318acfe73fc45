//! Pages of the documentation that are made of the sources.

use std::{fs, path::Path};

/// Fails where the page of the checkout is another one; with UPDATE_DOCS set it is written instead.
pub(crate) fn compare(page: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, text).expect("the page can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == text,
        "{page} is out of date: UPDATE_DOCS=1 cargo test --workspace --lib --locked -- docs_of"
    );
}
