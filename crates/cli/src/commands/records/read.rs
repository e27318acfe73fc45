//! Records, what was written to them, and what was lost.

use std::collections::BTreeMap;

use ferry_client::{ClientError, records::Collection};
use ferry_types::Op;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{Whose, census};
use crate::{
    context::Context,
    failure::Failure,
    output,
    table::{Cell, Column, Table},
};

#[derive(Debug, clap::Args)]
pub(crate) struct One {
    #[command(flatten)]
    whose: Whose,
    /// The app
    app: String,
    /// Its collection
    collection: String,
    /// Id of the record
    id: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry records list app todo tasks\n  \
        ferry records list app todo tasks --where list=groceries --json")]
pub(crate) struct ListArgs {
    #[command(flatten)]
    whose: Whose,
    /// The app
    app: String,
    /// Its collection
    collection: String,
    /// Only records with this text in this field; may be given more than once
    #[arg(long = "where", value_name = "FIELD=TEXT", value_parser = condition)]
    wanted: Vec<(String, String)>,
    /// Instead those whose insert has not arrived yet; devices get them after records.incomplete_seconds
    #[arg(long)]
    incomplete: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  ferry records conflicts app --state resolved")]
pub(crate) struct ConflictsArgs {
    #[command(flatten)]
    whose: Whose,
    /// Those still open, or those that somebody decided
    #[arg(long, default_value = "open", value_parser = ["open", "resolved"])]
    state: String,
}

fn condition(text: &str) -> Result<(String, String), String> {
    let (field, value) = text.split_once('=').ok_or("expected FIELD=TEXT")?;
    Ok((field.to_owned(), value.to_owned()))
}

impl One {
    fn collection(&self) -> Collection<'_> {
        Collection { app: &self.app, name: &self.collection }
    }
}

/// What the hub sent, as the members that people are shown.
fn shown<T: DeserializeOwned>(text: &RawValue) -> Result<T, Failure> {
    let read = serde_json::from_str(text.get());
    read.map_err(|error| ClientError::unverified(format!("the hub's answer cannot be read: {error}")).into())
}

/// A field as answers have it: `by` or `writer` tells who wrote it.
#[derive(Deserialize)]
struct Field {
    value: Box<RawValue>,
    at: String,
    #[serde(default, alias = "by")]
    writer: String,
}

/// `title\t"Buy milk"\t2026-01-01T10:05:00.000000000Z\tphone`.
pub(super) async fn get(context: &Context, args: &One) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Record {
        deleted: bool,
        fields: BTreeMap<String, Field>,
    }
    let client = args.whose.client(context, Op::Read).await?;
    let record = client.get(args.collection(), &args.id).await?;
    if context.json {
        return output::json(&record);
    }
    let record: Record = shown(&record)?;
    if record.deleted {
        output::note("(deleted)");
    }
    let mut table = Table::new([
        Column::text("FIELD"),
        Column::text("VALUE"),
        Column::whole("WRITTEN"),
        Column::text("BY"),
    ]);
    for (name, field) in &record.fields {
        table.row([name.into(), field.value.get().into(), Cell::rfc3339(&field.at), (&field.writer).into()]);
    }
    table.print()
}

/// `7f3a\t{"title":"Buy milk"}`.
pub(super) async fn list(context: &Context, args: &ListArgs) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Listed {
        id: String,
        data: Box<RawValue>,
    }
    let client = args.whose.client(context, Op::Read).await?;
    let collection = Collection { app: &args.app, name: &args.collection };
    let records = client.list(collection, &args.wanted, args.incomplete).await?;
    if records.is_empty() {
        census::explain_none(context, &args.whose, &client, collection).await?;
    }
    if context.json {
        return output::json(&records);
    }
    let mut table = Table::new([Column::whole("ID"), Column::text("DATA")]);
    for record in &records {
        let Listed { id, data } = shown(record)?;
        table.row([(&id).into(), data.get().into()]);
    }
    table.print()
}

/// `2026-01-01T10:05:01.000000000Z\tphone\tupdate\ttitle\t"Buy milk"`.
pub(super) async fn history(context: &Context, args: &One) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Entry {
        changes: Vec<Change>,
    }
    #[derive(Deserialize)]
    struct Change {
        op: String,
        client: String,
        received: String,
        fields: BTreeMap<String, Field>,
    }
    let client = args.whose.client(context, Op::Read).await?;
    let entries = client.history(args.collection(), &args.id).await?;
    if entries.is_empty() {
        // Of a record that is not there, the hub says so.
        client.get(args.collection(), &args.id).await?;
    }
    if context.json {
        return output::json(&entries);
    }
    let [received, client, op] = [Column::whole("RECEIVED"), Column::text("BY"), Column::text("OP")];
    let mut table = Table::new([received, client, op, Column::text("FIELD"), Column::text("VALUE")]);
    for entry in &entries {
        for change in shown::<Entry>(entry)?.changes {
            let Change { op, client, received, fields } = &change;
            for (name, field) in fields {
                let (name, value) = (name.into(), field.value.get().into());
                table.row([Cell::rfc3339(received), client.into(), op.into(), name, value]);
            }
        }
    }
    table.print()
}

/// `12\ttodo/tasks/7f3a\ttitle\t"Buy milk" of phone lost against "Buy oat milk" of tablet`.
pub(super) async fn conflicts(context: &Context, args: &ConflictsArgs) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct Conflict {
        id: i64,
        app: String,
        collection: String,
        record: String,
        field: String,
        winner: Field,
        loser: Field,
    }
    let client = args.whose.client(context, Op::Read).await?;
    let conflicts = client.conflicts(&args.state).await?;
    if context.json {
        return output::json(&conflicts);
    }
    if conflicts.is_empty() {
        output::note(format_args!("(no {} conflicts)", args.state));
    }
    let [id, record] = [Column::whole("ID").right(), Column::text("RECORD")];
    let mut table = Table::new([id, record, Column::text("FIELD"), Column::text("CONFLICT")]);
    for conflict in &conflicts {
        let Conflict { id, app, collection, record, field, winner, loser } = shown(conflict)?;
        let lost =
            format!("{} of {} lost against {} of {}", loser.value, loser.writer, winner.value, winner.writer);
        let record = format!("{app}/{collection}/{record}");
        table.row([(&id).into(), (&record).into(), (&field).into(), (&lost).into()]);
    }
    table.print()
}
