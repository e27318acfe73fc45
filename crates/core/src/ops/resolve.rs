//! Resolves conflicts (OPS-27).

use ferry_protocol::ops::{MERGED_TEXT_ID_PREFIX, OpKind, ResolveParams, ResolveTake, SpokeErrorCode};

use super::{
    OpsRefusal, Texts,
    append::{AppendedOps, Appending, OpWriter, Plan},
    conflict::{self, Recorded},
    entity, merge,
    prefixes::Prefixes,
    row,
};
use crate::sql::Sql;

/// Writes the ops that close the conflict `asked.id`; after a refusal the caller rolls its transaction back.
///
/// # Errors
/// What storage reports; within, why the call cannot be done.
pub fn resolve<S: Sql>(
    sql: &S,
    asked: &ResolveParams,
    prefixes: Prefixes<'_>,
    writer: &OpWriter<'_>,
    texts: &mut Texts,
    new_id: &mut dyn FnMut() -> String,
) -> Result<Result<AppendedOps, OpsRefusal>, S::Error> {
    let found = conflict::find(sql, &asked.id)?.filter(|conflict| prefixes.contain(Some(&conflict.entity)));
    let Some(conflict) = found else {
        let message = format!("there is no conflict {:?}", asked.id);
        return Ok(Err(OpsRefusal::new(SpokeErrorCode::NotFound, message)));
    };
    if !conflict.is_open {
        let message = "the conflict is closed already: read the entity to see what stands";
        return Ok(Err(OpsRefusal::new(SpokeErrorCode::ConflictClosed, message)));
    }
    let plans = match conflict::winner(sql, &conflict.entity, &conflict.field)? {
        Some(winner) => {
            live(sql, asked, &conflict, &winner.op, winner.value.map(|value| value.get().to_owned()))?
        }
        None => deleted(sql, asked, &conflict, prefixes)?,
    };
    let plans = match plans {
        Ok(plans) => plans,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut appending = Appending::begin(sql, writer, texts, new_id)?;
    for plan in plans {
        if let Err(refusal) = appending.write(plan)? {
            return Ok(Err(refusal));
        }
    }
    appending.finish().map(Ok)
}

/// A `set` that has seen both writes.
fn live<S: Sql>(
    sql: &S,
    asked: &ResolveParams,
    conflict: &Recorded,
    winner: &str,
    winning: Option<String>,
) -> Result<Result<Vec<Plan>, OpsRefusal>, S::Error> {
    if asked.as_entity.is_some() {
        return Ok(Err(OpsRefusal::invalid("as_entity: goes with a conflict of a deleted entity alone")));
    }
    let value = match (asked.take, &asked.value) {
        (ResolveTake::Value, Some(value)) => Some(value.get().to_owned()),
        (ResolveTake::Value, None) => {
            return Ok(Err(OpsRefusal::invalid("value: is missing, and take is \"value\"")));
        }
        (_, Some(_)) => return Ok(Err(OpsRefusal::invalid("value: goes with take \"value\" alone"))),
        (ResolveTake::Winner, None) => winning,
        (ResolveTake::Loser, None) => {
            conflict::lost_value(sql, conflict)?.map(|value| value.get().to_owned())
        }
    };
    let mut plan = Plan::new(OpKind::Set, &conflict.entity, Some(&conflict.field), value);
    plan.base = Some(vec![winner.to_owned(), conflict.loser.clone()]);
    Ok(Ok(vec![plan]))
}

/// A tombstone that has seen the lost write, behind a copy of the entity if that is asked for.
fn deleted<S: Sql>(
    sql: &S,
    asked: &ResolveParams,
    conflict: &Recorded,
    prefixes: Prefixes<'_>,
) -> Result<Result<Vec<Plan>, OpsRefusal>, S::Error> {
    let mut plans = match (asked.take, &asked.as_entity) {
        (ResolveTake::Winner, None) => Vec::new(),
        (ResolveTake::Winner, Some(_)) => {
            return Ok(Err(OpsRefusal::invalid("as_entity: goes with take \"loser\" alone")));
        }
        (ResolveTake::Loser, None) => {
            return Ok(Err(OpsRefusal::invalid(
                "as_entity: is missing; the entity is deleted, so what lost is kept in a new one",
            )));
        }
        (ResolveTake::Value, _) => {
            return Ok(Err(OpsRefusal::invalid(
                "take: the entity is deleted, so take \"winner\" or \"loser\"",
            )));
        }
        (ResolveTake::Loser, Some(copy)) => {
            if !prefixes.contain(Some(copy)) {
                return Ok(Err(OpsRefusal::invalid(
                    "as_entity: is outside of what the credential may write",
                )));
            }
            if entity::exists(sql, copy)? {
                return Ok(Err(OpsRefusal::invalid("as_entity: is there already; choose a new name")));
            }
            copy_of(sql, conflict, copy)?
        }
    };
    let mut tombstone = Plan::new(OpKind::Tombstone, &conflict.entity, None, None);
    tombstone.base = Some(lost_heads(sql, conflict)?);
    plans.push(tombstone);
    Ok(Ok(plans))
}

/// The write that lost, as every store knows it: a compacted text also by the edits that it stands for, since others have
/// those in its place.
fn lost_heads<S: Sql>(sql: &S, conflict: &Recorded) -> Result<Vec<String>, S::Error> {
    let mut lost = vec![conflict.loser.clone()];
    if conflict.loser.starts_with(MERGED_TEXT_ID_PREFIX)
        && let Some(known) = row::known(sql, &conflict.id)?
        && let Some(value) = conflict::lost_value(sql, conflict)?
    {
        let key = (conflict.entity.as_str(), conflict.field.as_str());
        let heads = merge::text::heads_within(sql, key, (value.get(), &known.hlc), None)?;
        lost.extend(heads.into_iter().filter(|id| *id != conflict.loser));
    }
    Ok(lost)
}

/// What writes the merged entity, with the lost value, under another name.
fn copy_of<S: Sql>(sql: &S, conflict: &Recorded, copy: &str) -> Result<Vec<Plan>, S::Error> {
    let Some(view) = entity::get(sql, &conflict.entity)? else { return Ok(Vec::new()) };
    let kind = view.kind.map(|kind| kind.get().to_owned());
    let mut plans = vec![Plan::new(OpKind::Create, copy, None, kind)];
    for (field, value) in &view.fields {
        let lost = if *field == conflict.field && !view.text.contains_key(field) {
            conflict::lost_value(sql, conflict)?
        } else {
            None
        };
        let value = lost.as_ref().unwrap_or(value).get().to_owned();
        plans.push(Plan::new(OpKind::Set, copy, Some(field), Some(value)));
    }
    for (field, text) in view.text {
        let mut plan = Plan::new(OpKind::Text, copy, Some(&field), None);
        plan.splice = Some(vec![(0, 0, text)]);
        plans.push(plan);
    }
    for (field, targets) in view.links {
        for target in targets {
            let value = serde_json::json!({ "to": target }).to_string();
            plans.push(Plan::new(OpKind::LinkAdd, copy, Some(&field), Some(value)));
        }
    }
    Ok(plans)
}
