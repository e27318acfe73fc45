//! Reading back what [`super::query::export`] wrote: every field keeps its time and its writer.

use ferry_protocol::records::{Change, FieldWrite, Op, decode_push};
use ferry_types::Result;

use super::{
    push::{PushCaller, push},
    record::DELETED_AT,
    store::RecordStore,
};

/// A record of an export.
#[derive(Debug)]
pub struct Line {
    app: String,
    /// The writes, by writer; the first makes the record known.
    changes: Vec<(String, Change<'static>)>,
}

impl Line {
    /// Reads one line.
    ///
    /// # Errors
    /// When it is no record of an export.
    pub fn read(line: &str) -> Result<Self> {
        let entry = ferry_protocol::records::ferry::decode_exported(line)?;
        let read = decode_push(entry.push.as_bytes())?.changes.pop().expect("BUG: the body holds a change");
        let mut change = read.into_owned();
        let fields = change.fields.take().unwrap_or_default();
        // Its tombstone, or that it lives, makes it known at its own time; else any of its fields does.
        let first = fields.iter().position(|field| field.key == DELETED_AT).unwrap_or(0);
        let mut changes: Vec<(String, Change<'static>)> = Vec::new();
        let writer = |place: usize| entry.writers.get(place).cloned().unwrap_or_default();
        if let Some(field) = fields.get(first) {
            let data = Some(vec![field.clone()]);
            changes.push((writer(first), Change { op: Op::Insert, data, fields: None, ..change.clone() }));
        }
        for (place, field) in fields.into_iter().enumerate().filter(|(place, _)| *place != first) {
            let writer = writer(place);
            match changes.iter_mut().skip(1).find(|(known, _)| *known == writer) {
                Some((_, held)) => held.fields.get_or_insert_default().push(field),
                None => changes.push((writer, update(&change, field))),
            }
        }
        Ok(Self { app: entry.app, changes })
    }
}

fn update(like: &Change<'static>, field: FieldWrite<'static>) -> Change<'static> {
    Change {
        op: Op::Update,
        data: None,
        fields: Some(vec![field]),
        space: None,
        actor: None,
        origin: None,
        ..like.clone()
    }
}

/// Merges lines into the records of `caller.owner`. Returns the touched collections by app.
///
/// # Errors
/// What storage reports.
pub fn merge<S: RecordStore>(
    store: &S,
    caller: &PushCaller<'_>,
    lines: &[Line],
) -> Result<Vec<(String, String)>, S::Error> {
    let mut touched: Vec<(String, String)> = Vec::new();
    for line in lines {
        for (writer, change) in &line.changes {
            let caller = PushCaller { app: &line.app, client: writer, ..*caller };
            for coll in push(store, &caller, std::slice::from_ref(change))?.collections {
                let collection = (line.app.clone(), coll);
                if !touched.contains(&collection) {
                    touched.push(collection);
                }
            }
        }
    }
    Ok(touched)
}
