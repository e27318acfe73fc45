//! Markdown pages and their code blocks.

use std::{fs, path::Path};

/// A page of the documentation.
pub(super) struct Page {
    /// Path in the checkout.
    pub(super) name: String,
    text: String,
}

/// A fenced piece of a page.
pub(super) struct Fence<'p> {
    /// What stands behind the opening fence.
    pub(super) language: &'p str,
    /// Its lines.
    pub(super) text: &'p str,
}

/// README.md and all of docs/.
pub(super) fn pages() -> Vec<Page> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = fs::read_dir(root.join("docs")).expect("the folder is there");
    let mut names: Vec<String> = docs
        .map(|entry| format!("docs/{}", entry.expect("the folder is readable").file_name().to_string_lossy()))
        .filter(|name| name.ends_with(".md"))
        .collect();
    names.push("README.md".to_owned());
    names.sort();
    let page = |name: String| {
        let text = fs::read_to_string(root.join(&name)).expect("the page is readable");
        Page { name, text }
    };
    names.into_iter().map(page).collect()
}

impl Page {
    /// Its fenced pieces, in order.
    pub(super) fn fences(&self) -> Vec<Fence<'_>> {
        // Text and fences take turns.
        let pieces = self.text.split("```").skip(1).step_by(2);
        let split = |piece| str::split_once(piece, '\n').expect("a fence has lines");
        pieces.map(split).map(|(language, text)| Fence { language, text }).collect()
    }

    /// The texts of its fences of one language.
    pub(super) fn blocks(&self, language: &str) -> Vec<&str> {
        self.fences().into_iter().filter(|fence| fence.language == language).map(|fence| fence.text).collect()
    }

    /// What stands between single backticks outside of fences, with single spaces.
    pub(super) fn spans(&self) -> Vec<String> {
        let prose: Vec<&str> = self.text.split("```").step_by(2).collect();
        let spans = prose.iter().flat_map(|text| text.split('`').skip(1).step_by(2));
        spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }
}
