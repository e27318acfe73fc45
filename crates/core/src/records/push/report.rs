//! The last step: what the device is told.

use std::collections::BTreeSet;

use ferry_protocol::records::ferry::{FieldEntry, write_fields};

use super::{
    super::{
        damaged,
        emit::{self, Style},
        record::FieldView,
        store::{RecordStore, RowView},
    },
    ChangeOutcome, PushCaller,
    merge::MergedChange,
    read::PushedRecord,
};

/// What became of each change, with the fields that Ferry's own clients must take over.
pub(super) fn outcomes(
    merged: Vec<MergedChange>,
    of_change: &[usize],
    records: &[PushedRecord<'_>],
    names_fields: bool,
) -> Vec<ChangeOutcome> {
    let outcome = |(merged, index): (MergedChange, &usize)| ChangeOutcome {
        result: merged.result,
        fields: (names_fields && !merged.told.is_empty()).then(|| fields_now(&records[*index], &merged.told)),
    };
    merged.into_iter().zip(of_change).map(outcome).collect()
}

/// The named fields as they are now, with their writers.
fn fields_now(record: &PushedRecord<'_>, names: &BTreeSet<String>) -> String {
    let held = names.iter().filter_map(|name| record.draft.field(name));
    let fields = held.map(|field| FieldEntry {
        key: &field.key,
        value: &field.value,
        at: field.at,
        writer: &field.writer,
    });
    let mut out = Vec::new();
    write_fields(&mut out, fields);
    String::from_utf8(out).expect("BUG: fields are made of texts")
}

/// The fields that a client of the old wire must have, whatever its cursor, as changes joined by commas.
pub(super) fn forced<S: RecordStore>(
    store: &S,
    caller: &PushCaller<'_>,
    records: &[PushedRecord<'_>],
) -> Result<Vec<u8>, S::Error> {
    let mut out = Vec::new();
    for PushedRecord { draft, must_see, .. } in records.iter().filter(|record| !record.must_see.is_empty()) {
        let row = draft.row();
        let view = RowView {
            app: caller.app,
            coll: draft.key.coll,
            id: draft.key.id,
            data: &row.data,
            meta: &row.meta,
            created: row.created,
            cts: row.cts,
            incomplete: row.incomplete,
        };
        let skew = store.skew(caller.owner, caller.client, caller.app, draft.key)?;
        let skew = skew.into_iter().collect();
        let wanted = |field: &FieldView<'_>| must_see.contains(field.key);
        emit::emit(&mut out, Style::Old, &view, wanted, false, &skew).map_err(damaged)?;
    }
    Ok(out)
}
