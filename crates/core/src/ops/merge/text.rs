//! Texts: one yrs document per entity and field (OPS-24). Updates stand in the log; the field's row counts the bytes of
//! those that are not folded into its state yet. They are folded when they outgrow the state, so that each costs a
//! constant share, or for who reads the view `ops_text` (see [`settle`]).

use std::ops::ControlFlow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ferry_protocol::ops::{FerryOp, MERGED_TEXT_ID_PREFIX, OpCode, OpKind, json_text};
use ferry_types::Hlc;

pub(in crate::ops) use super::document::{BadSplice, Document};
use super::{
    Fold, Integrated, document,
    heads::NewHead,
    lost::told_value,
    state::Greatest,
    update::{self, BadUpdate},
};
use crate::{
    ops::row::read_ferry,
    sql::{Damaged, Sql},
};

/// Updates are folded when they have more bytes than the state, and than this.
const FOLD_BYTES: i64 = 16 << 10;

const STATE: &str = "SELECT folded, waiting, state FROM _ferry_op_text WHERE entity = ?1 AND field = ?2";
const PUT_STATE: &str =
    "INSERT INTO _ferry_op_text(entity, field, folded, waiting, text, state) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT(entity, field) DO UPDATE SET folded = excluded.folded, waiting = excluded.waiting,
        text = excluded.text, state = excluded.state";
const UPDATE: &str = "SELECT raw FROM _ferry_ops WHERE op_seq = ?1";
const UPDATES: &str = "SELECT op_seq, raw FROM _ferry_ops
    WHERE kind = 'text' AND entity = ?1 AND field = ?2 AND op_seq > ?3 ORDER BY op_seq";
const FOLDED: &str =
    "UPDATE _ferry_op_fields SET unfolded = 0, text_bytes = ?3 WHERE entity = ?1 AND field = ?2";
const UNFOLDED: &str = "SELECT entity, field FROM _ferry_op_fields WHERE unfolded > 0 LIMIT ?1";
const HEADS: &str = "SELECT text_id, text_hlc, substr(text_hlc, 19) FROM _ferry_op_fields
        WHERE entity = ?1 AND field = ?2 AND text_is_head = 1
    UNION SELECT id, hlc, origin FROM _ferry_op_heads WHERE entity = ?1 AND field = ?2 AND kind = 'text'";
/// The same up to a time, with the texts of those that are in the log.
const HEADS_UNTIL: &str = "SELECT h.id, o.raw FROM (
        SELECT text_id AS id FROM _ferry_op_fields
            WHERE entity = ?1 AND field = ?2 AND text_is_head = 1 AND text_hlc <= ?3
        UNION SELECT id FROM _ferry_op_heads WHERE entity = ?1 AND field = ?2 AND kind = 'text' AND hlc <= ?3
    ) AS h LEFT JOIN _ferry_ops AS o ON o.id = h.id AND o.kind = 'text' ORDER BY h.id";
const NAMED: &str = "SELECT 1 FROM _ferry_op_edges WHERE entity = ?1 AND parent = ?2 AND removes = 0";
const LOOK_UP: &str = "SELECT hlc, op_seq FROM _ferry_ops WHERE id = ?1 AND entity = ?2
    UNION ALL SELECT hlc, NULL FROM _ferry_op_seen WHERE id = ?1";
const IS_HEAD: &str = "SELECT 1 FROM _ferry_op_heads
    WHERE id = ?3 AND entity = ?1 AND field = ?2 AND kind = 'text' AND via = ''";

/// The update that the value of a `text` op holds.
fn update_of(value: &str) -> Option<Vec<u8>> {
    STANDARD.decode(&*json_text(value)?).ok()
}

/// The value of a `text` op that holds `update`.
pub(in crate::ops) fn value_of(update: &[u8]) -> String {
    let mut value = String::with_capacity(update.len() / 3 * 4 + 6);
    value.push('"');
    STANDARD.encode_string(update, &mut value);
    value.push('"');
    value
}

/// A head of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextHead {
    /// Its op.
    pub id: String,
    /// That op's time; `None`: this store knows it by a compacted op alone, which does not tell.
    pub hlc: Option<Hlc>,
}

/// Heads of a text, each once.
///
/// # Errors
/// What storage reports.
pub fn heads<S: Sql>(sql: &S, entity: &str, field: &str) -> Result<Vec<TextHead>, S::Error> {
    let mut heads: Vec<TextHead> = Vec::new();
    sql.query(HEADS, &[entity.into(), field.into()], &mut |row| {
        let id = row.text(0)?;
        let hlc = if row.text(2)?.is_empty() { None } else { row.text(1)?.parse().ok() };
        // One that is there beside a compacted op that holds it stands twice.
        match heads.iter_mut().find(|head| head.id == id) {
            Some(head) => head.hlc = head.hlc.or(hlc),
            None => heads.push(TextHead { id: id.to_owned(), hlc }),
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(heads)
}

/// The heads of a text that an op stands for which another store merged of edits; here are the edits, or another merged op
/// that holds them. `lost`: its value; they are no newer than `hlc`. `arriving`: an op that is merged and not stored yet.
///
/// # Errors
/// What storage reports.
pub fn heads_within<S: Sql>(
    sql: &S,
    (entity, field): (&str, &str),
    (lost, hlc): (&str, &str),
    arriving: Option<&FerryOp>,
) -> Result<Vec<String>, S::Error> {
    let mut found = Vec::new();
    sql.query(HEADS_UNTIL, &[entity.into(), field.into(), hlc.into()], &mut |row| {
        let raw = row.optional_text(1)?.map(str::to_owned);
        found.push((row.text(0)?.to_owned(), raw));
        Ok(ControlFlow::Continue(()))
    })?;
    let whole = update_of(lost).and_then(|update| update::check(&update).ok());
    let mut within = Vec::new();
    for (id, raw) in found {
        let value = match (raw, arriving.filter(|op| op.id == id)) {
            (Some(raw), _) => read_ferry(&raw)?.value,
            (None, Some(op)) => op.value.clone(),
            (None, None) => told_value(sql, &id, arriving)?,
        };
        let edit = value.and_then(|value| update_of(&value)).and_then(|update| update::check(&update).ok());
        // Of what is inside another merged op nothing but its time is known, unless a conflict tells of it.
        if edit.zip(whole.as_ref()).is_none_or(|(edit, whole)| edit.is_within(whole)) {
            within.push(id);
        }
    }
    Ok(within)
}

/// The value of one `text` op that does what those with `values` do together, in any order: JSON, as they are. `None`: some
/// of them rest on an update that is not among them.
#[must_use]
pub fn merged_value<'a>(values: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let mut document = Document::reader();
    for (seq, update) in (0..).zip(values.into_iter().filter_map(update_of)) {
        document.apply(seq, &update);
    }
    document.waiting().0.is_empty().then(|| value_of(&document.state()))
}

/// What a text reads.
///
/// # Errors
/// What storage reports.
pub fn read<S: Sql>(sql: &S, entity: &str, field: &str) -> Result<String, S::Error> {
    let mut document = Document::reader();
    load(sql, entity, field, &mut document)?;
    Ok(document.read())
}

/// Fills an empty document; answers the number of its newest update.
pub(in crate::ops) fn load<S: Sql>(
    sql: &S,
    entity: &str,
    field: &str,
    document: &mut Document,
) -> Result<i64, S::Error> {
    let folded = sql.first(STATE, &[entity.into(), field.into()], |row| {
        document.apply(0, row.blob(2)?);
        Ok((row.integer(0)?, row.text(1)?.to_owned()))
    })?;
    let (folded, waiting) = folded.unwrap_or_default();
    for seq in waiting.split_whitespace().filter_map(|seq| seq.parse::<i64>().ok()) {
        sql.query(UPDATE, &[seq.into()], &mut |row| {
            apply(document, seq, row.text(0)?)?;
            Ok(ControlFlow::Continue(()))
        })?;
    }
    catch_up(sql, entity, field, document, folded)
}

/// Takes in the updates behind number `after`; answers the number of the newest.
pub(in crate::ops) fn catch_up<S: Sql>(
    sql: &S,
    entity: &str,
    field: &str,
    document: &mut Document,
    after: i64,
) -> Result<i64, S::Error> {
    let mut newest = after;
    sql.query(UPDATES, &[entity.into(), field.into(), after.into()], &mut |row| {
        newest = row.integer(0)?;
        apply(document, newest, row.text(1)?)?;
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(newest)
}

fn apply(document: &mut Document, seq: i64, raw: &str) -> Result<(), Damaged> {
    if let Some(update) = read_ferry(raw)?.value.as_deref().and_then(update_of) {
        document.apply(seq, &update);
    }
    Ok(())
}

/// Folds the updates of a text into its state; answers the bytes of the state, with those of what waits.
fn fold_text<S: Sql>(sql: &S, entity: &str, field: &str) -> Result<i64, S::Error> {
    let mut document = Document::reader();
    let newest = load(sql, entity, field, &mut document)?;
    let (text, state, (waiting, waiting_bytes)) = (document.read(), document.state(), document.waiting());
    let waiting = waiting.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
    let row =
        [entity.into(), field.into(), newest.into(), (*waiting).into(), (*text).into(), (*state).into()];
    sql.execute(PUT_STATE, &row)?;
    Ok(length(state.len() + waiting_bytes))
}

/// Folds up to `most` texts that have updates waiting, so that the view `ops_text` shows them; answers how many it did.
///
/// # Errors
/// What storage reports.
pub fn settle<S: Sql>(sql: &S, most: usize) -> Result<usize, S::Error> {
    let mut due = Vec::new();
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    sql.query(UNFOLDED, &[most.into()], &mut |row| {
        due.push((row.text(0)?.to_owned(), row.text(1)?.to_owned()));
        Ok(ControlFlow::Continue(()))
    })?;
    for (entity, field) in &due {
        let bytes = fold_text(sql, entity, field)?;
        sql.execute(FOLDED, &[(**entity).into(), (**field).into(), bytes.into()])?;
    }
    Ok(due.len())
}

impl<S: Sql> Fold<'_, S> {
    /// How many bytes of update the op brings, or why it is refused. Folds what waits if that is due.
    pub(super) fn read_update(&mut self) -> Result<Result<i64, Integrated>, S::Error> {
        let (OpKind::Text, Some(field)) = (&self.op.kind, self.field) else { return Ok(Ok(0)) };
        let value = self.op.value.as_deref().unwrap_or_default();
        if self.is_refold {
            return Ok(Ok(length(value.len() / 4 * 3)));
        }
        let update = match update_of(value).ok_or(BadUpdate::Malformed).and_then(|update| {
            document::check(&update)?;
            Ok(update)
        }) {
            Ok(update) => update,
            // A spoke keeps what its hub took; a document leaves it out.
            Err(_) if !self.rules.judges() => return Ok(Ok(0)),
            Err(bad) => {
                let message = match bad {
                    BadUpdate::Malformed => "value is not an update of yrs (version 1) in base64",
                    BadUpdate::Holes => {
                        "value is merged of updates between which others are missing: send each as an op of its own"
                    }
                    BadUpdate::NotText => {
                        "value changes something else than the root text \"t\" of its document"
                    }
                };
                return Ok(Err(refused(OpCode::BadText, message)));
            }
        };
        let bytes = length(update.len());
        let row = &mut self.field_row;
        let most = i64::try_from(self.rules.text_max_bytes).unwrap_or(i64::MAX);
        let is_full = row.text_bytes.saturating_add(row.unfolded).saturating_add(bytes) > most;
        if row.unfolded > 0 && (is_full || row.unfolded > row.text_bytes.max(FOLD_BYTES)) {
            (row.text_bytes, row.unfolded) = (fold_text(self.sql, self.entity, field)?, 0);
            self.sql.execute(FOLDED, &[self.entity.into(), field.into(), row.text_bytes.into()])?;
        }
        if self.rules.judges() && row.text_bytes.saturating_add(bytes) > most {
            let message = "the text is full: begin another field, or copy what it reads into a new one";
            return Ok(Err(refused(OpCode::TextTooLarge, message)));
        }
        Ok(Ok(bytes))
    }

    pub(super) fn text(&mut self, bytes: i64) -> Result<(), S::Error> {
        let seq = self.seq_value();
        let row = &mut self.field_row;
        row.text_seq = row.text_seq.max(seq);
        row.unfolded = row.unfolded.saturating_add(bytes);
        row.is_changed = true;
        let is_merged = self.op.id.starts_with(MERGED_TEXT_ID_PREFIX);
        let is_head = !is_merged && !self.is_covered;
        if !is_merged && self.field_row.others > 0 {
            self.settle_held(is_head)?;
        }
        let row = &mut self.field_row;
        let own = (&*self.hlc, &*self.op.id);
        let is_greatest = row.text.as_ref().is_none_or(|greatest| (&*greatest.hlc, &*greatest.id) < own);
        if is_greatest {
            let own = Greatest { id: self.op.id.clone(), hlc: self.hlc.clone(), is_head };
            if let Some(before) = row.text.replace(own).filter(|before| before.is_head) {
                let head = NewHead {
                    origin: before.origin(),
                    hlc: &before.hlc,
                    id: &before.id,
                    via: "",
                    digest: None,
                };
                self.put_head(&OpKind::Text, &head)?;
            }
        } else if is_head {
            let (origin, hlc, op) = (self.origin.clone(), self.hlc.clone(), self.op);
            let head = NewHead { origin: &origin, hlc: &hlc, id: &op.id, via: "", digest: None };
            self.put_head(&OpKind::Text, &head)?;
        }
        let is_conflict = if is_merged && !self.is_covered { self.put_merged_heads()? } else { is_head };
        if is_conflict && self.is_dead() {
            self.open(&self.op.id)?;
        }
        Ok(())
    }

    /// The heads that a compacted op stands for; it is one while any of them is (OPS-20).
    fn put_merged_heads(&mut self) -> Result<bool, S::Error> {
        let (op, mut any) = (self.op, false);
        for (at, id) in op.merged.iter().enumerate() {
            let told = op.merged_hlc.get(at).map(Hlc::to_string);
            if let Some((origin, hlc)) = self.merged_head(id, told)? {
                let head = NewHead { origin: &origin, hlc: &hlc, id, via: &op.id, digest: None };
                self.put_head(&OpKind::Text, &head)?;
                any = true;
            }
        }
        Ok(any)
    }

    /// Origin and HLC of what a compacted op stands for, if no other op covers it.
    fn merged_head(&self, id: &str, told: Option<String>) -> Result<Option<(String, String)>, S::Error> {
        if self.sql.first(NAMED, &[self.entity.into(), id.into()], |_| Ok(()))?.is_some() {
            return Ok(None);
        }
        let field = self.field.unwrap_or_default();
        let seq = self.seq_value();
        let known = self.sql.first(LOOK_UP, &[id.into(), self.entity.into()], |row| {
            Ok((row.text(0)?.to_owned(), row.optional_integer(1)?.is_some_and(|stored| stored < seq)))
        })?;
        let is_merged = known.as_ref().is_some_and(|(_, is_merged)| *is_merged);
        let Some(hlc) = known.map(|(hlc, _)| hlc).or(told) else {
            return Ok(Some((String::new(), self.hlc.clone())));
        };
        let origin = hlc.get(18..).unwrap_or_default().to_owned();
        let is_head = if is_merged {
            let is_in_row = self.field_row.text.as_ref().is_some_and(|text| text.id == id && text.is_head);
            let parameters = [self.entity.into(), field.into(), id.into()];
            is_in_row || self.sql.first(IS_HEAD, &parameters, |_| Ok(()))?.is_some()
        } else {
            !self.is_above(field, &origin, &hlc)?
        };
        Ok(is_head.then_some((origin, hlc)))
    }
}

fn refused(code: OpCode, message: &'static str) -> Integrated {
    Integrated::Refused { code, message: message.into() }
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
