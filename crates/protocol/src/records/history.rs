//! Entries of a record's history, as the hub keeps them: one JSON array per commit, with one object per change.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{decode::Members, json};

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(borrow)]
    fields: Members<'a, Field<'a>>,
}

#[derive(Deserialize)]
struct Field<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
    at: &'a str,
}

/// The fields of an entry: name as it stands between its quotes, value, and time. `None` for what is no entry.
#[must_use]
pub fn history_fields(entry: &str) -> Option<Vec<(Cow<'_, str>, &str, &str)>> {
    let changes: Vec<Change<'_>> = serde_json::from_str(entry).ok()?;
    let fields = changes.into_iter().flat_map(|change| change.fields.into_items());
    Some(fields.map(|(key, field)| (json::escape(key), field.value.get(), field.at)).collect())
}
