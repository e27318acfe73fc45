//! Reads entities.

use std::{collections::BTreeMap, ops::ControlFlow};

use ferry_protocol::ops::{
    EntityEntry, EntityListParams, EntityPage, EntityView, VIEW_LIMIT, VIEW_LIMIT_MAX,
};
use serde_json::value::RawValue;

use super::{merge::text, prefixes::Prefixes};
use crate::sql::Sql;

const ENTITY: &str = "SELECT type, dead, hlc FROM _ferry_op_entities WHERE entity = ?1";
const FIELDS: &str = "SELECT field, winner IS NOT NULL, value, text_id IS NOT NULL FROM _ferry_op_fields
    WHERE entity = ?1";
const LINKS: &str = "SELECT DISTINCT l.field, l.target FROM _ferry_op_links AS l
    LEFT JOIN _ferry_op_entities AS t ON t.entity = l.target
    WHERE l.entity = ?1 AND l.removed = 0 AND coalesce(t.dead, 0) = 0 ORDER BY l.field, l.target";
const CONFLICTS: &str = "SELECT id FROM _ferry_op_conflicts WHERE entity = ?1 AND open = 1 ORDER BY id";
const LIST: &str = "SELECT entity, type, dead FROM _ferry_op_entities
    WHERE entity >= ?1 AND entity > ?2 AND (dead = 0 OR ?3) ORDER BY entity";

/// JSON of an op's value.
pub(super) fn json(value: &str) -> Box<RawValue> {
    // What was taken as an op is JSON; a text that only its own reader takes for JSON is shown as nothing.
    RawValue::from_string(value.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Whether any op is about `entity`.
pub(super) fn exists<S: Sql>(sql: &S, entity: &str) -> Result<bool, S::Error> {
    Ok(sql.first(ENTITY, &[entity.into()], |_| Ok(()))?.is_some())
}

/// An entity with its fields, texts, links and open conflicts; a deleted one, too. `None`: no op is about it.
///
/// # Errors
/// What storage reports.
pub fn get<S: Sql>(sql: &S, entity: &str) -> Result<Option<EntityView>, S::Error> {
    let row = sql.first(ENTITY, &[entity.into()], |row| {
        Ok((row.optional_text(0)?.map(json), row.integer(1)? == 1, row.text(2)?.to_owned()))
    })?;
    let Some((kind, deleted, hlc)) = row else { return Ok(None) };
    let mut view = EntityView {
        entity: entity.to_owned(),
        kind,
        deleted,
        fields: BTreeMap::new(),
        text: BTreeMap::new(),
        links: BTreeMap::new(),
        hlc,
        conflicts: Vec::new(),
    };
    let mut texts = Vec::new();
    sql.query(FIELDS, &[entity.into()], &mut |row| {
        let field = row.text(0)?;
        if row.integer(1)? == 1 {
            view.fields.insert(field.to_owned(), json(row.text(2)?));
        }
        if row.integer(3)? == 1 {
            texts.push(field.to_owned());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for field in texts {
        let read = text::read(sql, entity, &field)?;
        view.text.insert(field, read);
    }
    sql.query(LINKS, &[entity.into()], &mut |row| {
        view.links.entry(row.text(0)?.to_owned()).or_default().push(row.text(1)?.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    sql.query(CONFLICTS, &[entity.into()], &mut |row| {
        view.conflicts.push(row.text(0)?.to_owned());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Some(view))
}

/// A page of the entities within `prefixes`.
///
/// # Errors
/// What storage reports.
pub fn list<S: Sql>(
    sql: &S,
    asked: &EntityListParams,
    prefixes: Prefixes<'_>,
) -> Result<EntityPage, S::Error> {
    let mut page = EntityPage { entities: Vec::new(), next: None };
    let prefix = asked.prefix.as_deref();
    let Some(prefix) = prefixes.joined(prefix).map(str::to_owned) else { return Ok(page) };
    let limit = page_limit(asked.limit);
    let after = asked.after.as_deref().unwrap_or_default();
    sql.query(LIST, &[(*prefix).into(), after.into(), i64::from(asked.deleted).into()], &mut |row| {
        let entity = row.text(0)?;
        if !entity.starts_with(&*prefix) {
            return Ok(ControlFlow::Break(()));
        }
        if page.entities.len() == limit {
            page.next = page.entities.last().map(|last: &EntityEntry| last.entity.clone());
            return Ok(ControlFlow::Break(()));
        }
        let (kind, deleted) = (row.optional_text(1)?.map(json), row.integer(2)? == 1);
        page.entities.push(EntityEntry { entity: entity.to_owned(), kind, deleted });
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(page)
}

/// How many entries a page gets.
pub(super) fn page_limit(asked: Option<u32>) -> usize {
    asked.unwrap_or(VIEW_LIMIT).clamp(1, VIEW_LIMIT_MAX) as usize
}
