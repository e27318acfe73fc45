//! The kind of a database is fixed by its first write (ORG-09). The write itself happens in another file than
//! `control.db`, so it takes three steps: claim the kind, write, and release the claim if the write failed.
//!
//! Between claim and release others may claim the same kind and write. A claim therefore stays *tentative*
//! until a second one relies on it; only a tentative one is released. The set of tentative claims is read and
//! changed inside requests of the actor, which run one after another.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferry_types::{DatabaseId, DatabaseKind, Error, Reason, Result};
use rusqlite::OptionalExtension as _;

use super::{Control, ControlEffect, caller::database_not_found};

/// The outcome of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindClaim {
    /// Whether this call fixed the kind. Then, if the first write fails, call [`Control::release_kind`].
    pub set_by_this_call: bool,
}

fn lock(tentative: &Mutex<HashSet<DatabaseId>>) -> MutexGuard<'_, HashSet<DatabaseId>> {
    tentative.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wrong_kind(is: DatabaseKind) -> Error {
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

impl Control {
    /// Makes sure, durably, that the database is of `kind`.
    ///
    /// # Errors
    /// `WRONG_KIND` if it is of the other, `database not found`, or a failure of `control.db`.
    pub async fn claim_kind(&self, id: DatabaseId, kind: DatabaseKind) -> Result<KindClaim> {
        let fixed = self.database(id).ok_or_else(database_not_found)?.kind;
        if fixed == Some(kind) && !lock(&self.tentative_kinds).contains(&id) {
            return Ok(KindClaim { set_by_this_call: false });
        }
        let tentative = Arc::clone(&self.tentative_kinds);
        let set_by_this_call = self
            .write(move |transaction| {
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
                        lock(&tentative).insert(id);
                        transaction.effect(ControlEffect::KindChanged { id, kind: Some(kind) });
                        Ok(true)
                    }
                    Some(Ok(is)) if is == kind => {
                        lock(&tentative).remove(&id);
                        Ok(false)
                    }
                    Some(Ok(is)) => Err(wrong_kind(is).into()),
                    Some(Err(error)) => Err(ferry_store::Error::Damaged(format!("kind of {id}: {error}"))),
                }
            })
            .await?;
        Ok(KindClaim { set_by_this_call })
    }

    /// Takes a claim back whose first write failed, unless another write relies on it by now.
    ///
    /// # Errors
    /// When `control.db` cannot be written; the kind then stays fixed.
    pub async fn release_kind(&self, id: DatabaseId) -> Result<()> {
        let tentative = Arc::clone(&self.tentative_kinds);
        self.write(move |transaction| {
            if !lock(&tentative).remove(&id) {
                return Ok(());
            }
            transaction
                .connection()
                .prepare_cached("UPDATE databases SET kind = NULL WHERE id = ?1")?
                .execute([id.to_string()])?;
            transaction.effect(ControlEffect::KindChanged { id, kind: None });
            Ok(())
        })
        .await
    }
}
