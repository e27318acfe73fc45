//! The kind of a database is fixed by its first write (ORG-09). The write itself happens in another file than
//! `control.db`, so it takes three steps: claim the kind, write, and release the claim if the write failed.
//!
//! Between claim and release others may claim the same kind and write. A claim therefore stays *tentative*
//! until a second one relies on it; only a tentative one is released. What is tentative is decided inside
//! requests of the actor, which run one after another. The directory alone answers for a kind only while
//! nothing about it is tentative.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ferry_types::{DatabaseId, DatabaseKind, Error, Reason, Result, UnixMillis};
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::database_not_found,
    control_db::ControlDb,
    credentials::requester::Requester,
    directory::{effects::ControlEffect, entries::DatabaseEntry},
};

/// The outcome of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindClaim {
    /// Whether this call fixed the kind. Then, if the first write fails, call [`Kinds::release`].
    pub set_by_this_call: bool,
}

/// Where a kind stands that was fixed by a first write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tentative {
    /// Nobody but the claimant relies on it.
    Claimed,
    /// It is being taken back: the row is, or soon will be, empty again.
    Releasing,
}

/// The kinds of this process's first writes that nobody else relies on yet.
#[derive(Clone, Default)]
struct TentativeKinds(Arc<Mutex<HashMap<DatabaseId, Tentative>>>);

impl TentativeKinds {
    fn lock(&self) -> MutexGuard<'_, HashMap<DatabaseId, Tentative>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The row of a kind that a first write fixed, or (`None`) that its failure left open again.
fn note(
    connection: &Connection,
    entry: &DatabaseEntry,
    kind: Option<DatabaseKind>,
    (by, now): (&Requester, UnixMillis),
) -> ferry_sqlite::Result<()> {
    let actor = Who::Principal(&by.principal);
    let mut row = AuditRow::ok(now, &by.origin, actor, "database.kind", &entry.name);
    (row.org_id, row.database_id) = (Some(entry.org_id), Some(entry.id));
    row.detail = json!({ "kind": kind.map(DatabaseKind::as_str) });
    row.insert(connection)
}

/// What a model is told that would write a database of the other kind.
pub fn wrong_kind(is: DatabaseKind) -> Error {
    let message = match is {
        DatabaseKind::Hub => {
            "this database is written by the hub (kind hub): its file can be pulled, not pushed; push to another"
        }
        DatabaseKind::Replica => {
            "this database is a pushed file (kind replica): only pushes write it; create another for this model"
        }
    };
    Error::new(Reason::WrongKind, message)
}

/// Whose first writes fix which kinds.
pub struct Kinds {
    db: Arc<ControlDb>,
    tentative: TentativeKinds,
}

impl Kinds {
    pub(crate) fn new(db: Arc<ControlDb>) -> Self {
        Self { db, tentative: TentativeKinds::default() }
    }

    /// Makes sure, durably, that the database is of `kind`, for the first write that `by` makes.
    ///
    /// # Errors
    /// `WRONG_KIND` if it is of the other, `database not found`, or a failure of `control.db`.
    pub async fn claim(&self, id: DatabaseId, kind: DatabaseKind, by: &Requester) -> Result<KindClaim> {
        let entry = self.db.database(id).ok_or_else(database_not_found)?;
        if entry.kind == Some(kind) && !self.tentative.lock().contains_key(&id) {
            return Ok(KindClaim { set_by_this_call: false });
        }
        let (tentative, by, now) = (self.tentative.clone(), by.clone(), self.db.now());
        let set_by_this_call = self
            .db
            .write(move |transaction| {
                by.recheck()?;
                let connection = transaction.connection();
                let stored: Option<Option<String>> = connection
                    .prepare_cached("SELECT kind FROM databases WHERE id = ?1 AND deleted IS NULL")?
                    .query_row([id.to_string()], |row| row.get(0))
                    .optional()?;
                match stored.ok_or_else(database_not_found)?.as_deref().map(str::parse) {
                    None => {
                        connection
                            .prepare_cached("UPDATE databases SET kind = ?2 WHERE id = ?1")?
                            .execute([id.to_string().as_str(), kind.as_str()])?;
                        note(connection, &entry, Some(kind), (&by, now))?;
                        tentative.lock().insert(id, Tentative::Claimed);
                        transaction.effect(ControlEffect::KindChanged { id, kind: Some(kind) });
                        Ok(true)
                    }
                    Some(Ok(is)) if is == kind => {
                        tentative.lock().remove(&id);
                        Ok(false)
                    }
                    Some(Ok(is)) => Err(wrong_kind(is).into()),
                    Some(Err(error)) => Err(ferry_sqlite::Error::Damaged(format!("kind of {id}: {error}"))),
                }
            })
            .await?;
        Ok(KindClaim { set_by_this_call })
    }

    /// Takes a claim back whose first write failed, unless another write relies on it by now.
    ///
    /// # Errors
    /// When `control.db` cannot be written; the kind then stays fixed.
    pub async fn release(&self, id: DatabaseId, by: &Requester) -> Result<()> {
        let (tentative, by, now) = (self.tentative.clone(), by.clone(), self.db.now());
        let entry = self.db.database(id);
        self.db
            .write(move |transaction| {
                match tentative.lock().get_mut(&id) {
                    Some(state) if *state == Tentative::Claimed => *state = Tentative::Releasing,
                    _ => return Ok(()),
                }
                let connection = transaction.connection();
                connection
                    .prepare_cached("UPDATE databases SET kind = NULL WHERE id = ?1")?
                    .execute([id.to_string()])?;
                if let Some(entry) = &entry {
                    note(connection, entry, None, (&by, now))?;
                }
                transaction.effect(ControlEffect::KindChanged { id, kind: None });
                Ok(())
            })
            .await?;
        // The directory has followed, so that it may answer alone again, unless there is a new claim.
        let mut tentative = self.tentative.lock();
        if tentative.get(&id) == Some(&Tentative::Releasing) {
            tentative.remove(&id);
        }
        Ok(())
    }
}
