//! `ferry ops append`.

use std::io::{BufRead, BufReader};

use ferry_protocol::ops::{AppendParams, EntityGetParams, EntityView, OpDraft, SpokeCall, WrittenOps};
use ferry_types::Op;
use serde_json::value::{RawValue, to_raw_value};

use super::Calls;
use crate::{context::Context, failure::Failure, output};

/// Ops of one call, when many come from a file.
const OPS_MAX: usize = 1_000;
/// Bytes of one call.
const CALL_MAX_BYTES: usize = 4 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry ops append --entity note/1 --kind create --value '\"note\"'\n  \
        ferry ops append --entity note/1 --kind set --field title --text 'Buy milk'\n  \
        ferry ops append --entity note/1 --kind text --field body --text 'From the shop:'\n  \
        ferry ops append --entity note/1 --kind link.add --field tag --to tag/home\n  \
        ferry ops append --entity note/1 --kind tombstone\n  \
        ferry ops append --file ops.ndjson\n\n\
        Of a file, every 1,000 lines are written together or not at all; a line is an op such as\n  \
        {\"kind\":\"set\",\"entity\":\"note/1\",\"field\":\"title\",\"value\":\"Buy milk\"}")]
pub(super) struct Args {
    /// What the op is about, such as note/1
    #[arg(long, value_name = "ENTITY", required_unless_present = "file")]
    entity: Option<String>,
    /// create, set, text, link.add, link.remove, tombstone, or a kind of your own
    #[arg(long, required_unless_present = "file")]
    kind: Option<String>,
    /// Which field of the entity
    #[arg(long)]
    field: Option<String>,
    /// The value, as JSON
    #[arg(long, value_name = "JSON", allow_hyphen_values = true, conflicts_with_all = ["text", "to"])]
    value: Option<String>,
    /// The value as plain text; with kind text, what the text shall be: the difference is written
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true, conflicts_with = "to")]
    text: Option<String>,
    /// The entity that is linked to
    #[arg(long, value_name = "ENTITY")]
    to: Option<String>,
    /// A file with an op per line, as JSON; -: stdin
    #[arg(long, value_name = "FILE", conflicts_with_all = ["entity", "kind", "field", "value", "text", "to"])]
    file: Option<String>,
}

pub(super) async fn run(context: &Context, mut calls: Calls, args: Args) -> Result<(), Failure> {
    if let Some(file) = &args.file {
        return from_file(context, &mut calls, file).await;
    }
    let draft = args.draft(&mut calls).await?;
    let written = written(&mut calls, vec![draft]).await?;
    if context.json { output::json(&written) } else { print(&written) }
}

impl Args {
    /// What a token must allow: who says what a text shall be must know what it is.
    pub(super) fn rights(&self) -> &'static [Op] {
        let reads = self.kind.as_deref() == Some("text") && self.text.is_some();
        if reads { &[Op::Read, Op::Write] } else { &[Op::Write] }
    }

    async fn draft(self, calls: &mut Calls) -> Result<OpDraft, Failure> {
        let kind = self.kind.unwrap_or_default();
        let mut draft =
            OpDraft { entity: self.entity, field: self.field, value: None, splice: None, id: None, kind };
        match (self.value, self.text, self.to) {
            (Some(value), ..) => {
                let value = RawValue::from_string(value);
                draft.value = Some(value.map_err(|error| {
                    Failure::Usage(format!("--value must be JSON: {error}; for plain text there is --text"))
                })?);
            }
            (_, Some(text), _) if draft.kind == "text" => {
                let now = current_text(calls, &draft).await?;
                draft.splice = Some(vec![difference(&now, &text)]);
            }
            (_, Some(text), _) => draft.value = Some(raw(&text)?),
            (.., Some(to)) => draft.value = Some(raw(&serde_json::json!({ "to": to }))?),
            _ => {}
        }
        Ok(draft)
    }
}

fn raw(value: &impl serde::Serialize) -> Result<Box<RawValue>, Failure> {
    to_raw_value(value).map_err(|error| Failure::other(format!("JSON: {error}")))
}

/// What the text of a draft's field reads now; empty if there is none.
async fn current_text(calls: &mut Calls, draft: &OpDraft) -> Result<String, Failure> {
    let entity = draft.entity.clone().unwrap_or_default();
    let view: EntityView = match calls.get(&SpokeCall::EntityGet(EntityGetParams { entity })).await {
        Ok(view) => view,
        Err(failure) if failure.is_not_found() => return Ok(String::new()),
        Err(failure) => return Err(failure),
    };
    Ok(draft.field.as_ref().and_then(|field| view.text.get(field)).cloned().unwrap_or_default())
}

/// The one edit that makes `new` of `old`: at, how many to delete, what to insert; in UTF-16 units.
fn difference(old: &str, new: &str) -> (u32, u32, String) {
    let same = old.chars().zip(new.chars()).take_while(|(old, new)| old == new);
    let head: usize = same.map(|(c, _)| c.len_utf8()).sum();
    let same = old[head..].chars().rev().zip(new[head..].chars().rev()).take_while(|(old, new)| old == new);
    let tail: usize = same.map(|(c, _)| c.len_utf8()).sum();
    let units = |text: &str| u32::try_from(text.encode_utf16().count()).unwrap_or(u32::MAX);
    (units(&old[..head]), units(&old[head..old.len() - tail]), new[head..new.len() - tail].to_owned())
}

async fn from_file(context: &Context, calls: &mut Calls, file: &str) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| Failure::Usage(format!("{file}: {error}"));
    let mut lines: Box<dyn BufRead + Send> = if file == "-" {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        Box::new(BufReader::new(std::fs::File::open(file).map_err(unreadable)?))
    };
    let (mut drafts, mut bytes, mut number, mut line) = (Vec::new(), 0, 0, String::new());
    // The first line that is not stored.
    let mut first = 1;
    let mut all = Vec::new();
    loop {
        line.clear();
        number += 1;
        let is_end = lines.read_line(&mut line).map_err(unreadable)? == 0;
        let is_full = drafts.len() == OPS_MAX || bytes + line.len() > CALL_MAX_BYTES;
        if (is_end || is_full) && !drafts.is_empty() {
            let written = written(calls, std::mem::take(&mut drafts)).await;
            let written = written.map_err(|failure| in_lines(failure, file, first, number - 1))?;
            first = number;
            if context.json {
                all.extend(written.ops);
            } else {
                print(&written)?;
            }
            bytes = 0;
        }
        if is_end {
            return if context.json { output::json(&WrittenOps { ops: all }) } else { Ok(()) };
        }
        if !line.trim().is_empty() {
            bytes += line.len();
            let draft: OpDraft = serde_json::from_str(&line).map_err(|error| {
                Failure::Usage(format!("{file}, line {number}: no op: {error}; {}", stored(first)))
            })?;
            drafts.push(draft);
        }
    }
}

/// What of a file is stored when line `first` is the first one that is not.
fn stored(first: usize) -> String {
    match first {
        1 => "nothing of the file is stored".to_owned(),
        _ => format!("lines 1 to {} are stored: leave them out next time", first - 1),
    }
}

/// A refusal of the lines from `first` to `last`, which are stored together or not at all.
fn in_lines(failure: Failure, file: &str, first: usize, last: usize) -> Failure {
    match failure {
        Failure::Client(mut error) => {
            error.message = format!("{file}, lines {first} to {last}: {}; {}", error.message, stored(first));
            Failure::Client(error)
        }
        other => other,
    }
}

async fn written(calls: &mut Calls, ops: Vec<OpDraft>) -> Result<WrittenOps, Failure> {
    calls.get(&SpokeCall::OpAppend(AppendParams { ops })).await
}

fn print(written: &WrittenOps) -> Result<(), Failure> {
    written.ops.iter().try_for_each(|op| output::row(&[&op.id, &op.hlc]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_two_texts_is_one_edit() {
        for (old, new, edit) in [
            ("", "", (0, 0, "")),
            ("", "milk", (0, 0, "milk")),
            ("milk", "", (0, 4, "")),
            ("Buy milk", "Buy tea", (4, 4, "tea")),
            ("aa", "aaa", (2, 0, "a")),
            ("aaa", "aa", (2, 1, "")),
            ("😀 milk", "😀 tea", (3, 4, "tea")),
            ("😀", "😁", (0, 2, "😁")),
        ] {
            assert_eq!(difference(old, new), (edit.0, edit.1, edit.2.to_owned()), "{old} → {new}");
        }
    }
}
