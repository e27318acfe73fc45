//! A database is made from another one (PAG-31), or from a backup of one (OPR-22). Its files are there before its row is: the row
//! makes it one.

use std::sync::Arc;

use ferry_types::{DatabaseId, DatabaseKind, OrgId, Result};
use rusqlite::OptionalExtension as _;
use serde_json::json;

use crate::{
    audit::{AuditRow, Who},
    caller::org_not_found,
    control_db::ControlDb,
    credentials::requester::Requester,
    databases::{check_name, insert_row, name_is_taken},
    directory::{effects::ControlEffect, entries::DatabaseEntry},
};

/// Makes a database of the kind of another.
pub struct ForkDatabase<'a> {
    /// Who asks.
    pub by: &'a Requester,
    /// The database whose image it has.
    pub of: DatabaseId,
    /// The organisation of both.
    pub org_id: OrgId,
    /// The backup that the image is from; `None`: the database lives.
    pub backup: Option<&'a str>,
    /// The new one's id, under which its files are.
    pub id: DatabaseId,
    /// Its name.
    pub name: &'a str,
    /// Its kind.
    pub kind: DatabaseKind,
}

impl ForkDatabase<'_> {
    /// Refuses a name that cannot be had, before anything is copied.
    ///
    /// # Errors
    /// Bad name, name taken, organisation gone.
    pub fn check(&self, db: &ControlDb) -> Result<()> {
        let (org_id, name) = (self.org_id, check_name(self.name)?);
        let directory = db.directory();
        if directory.org(org_id).is_none() {
            return Err(org_not_found());
        }
        match directory.database_named(org_id, name) {
            Some(_) => Err(name_is_taken(name)),
            None => Ok(()),
        }
    }

    /// # Errors
    /// As [`Self::check`]; too many databases; rights that were lost meanwhile.
    pub async fn run(self, db: &ControlDb, max_per_org: u64) -> Result<DatabaseEntry> {
        let org_id = self.org_id;
        let name: Arc<str> = check_name(self.name)?.into();
        let (now, by, of) = (db.now(), self.by.clone(), self.of);
        let backup = self.backup.map(str::to_owned);
        let (id, kind) = (self.id, Some(self.kind));
        let entry = DatabaseEntry { id, org_id, name, kind, epoch: 0, jwt_not_before: None, created: now };
        let made = entry.clone();
        db.write(move |transaction| {
            by.recheck()?;
            let connection = transaction.connection();
            let sql = "SELECT 1 FROM databases WHERE org_id = ?1 AND name = ?2 AND deleted IS NULL";
            let taken = connection
                .prepare_cached(sql)?
                .query_row([&*org_id.to_string(), &*entry.name], |_| Ok(()))
                .optional()?;
            if taken.is_some() {
                return Err(name_is_taken(&entry.name).into());
            }
            insert_row(connection, &entry, None, max_per_org)?;
            let who = Who::Principal(&by.principal);
            let action = if backup.is_some() { "database.restore" } else { "database.fork" };
            let mut row = AuditRow::ok(now, &by.origin, who, action, &entry.name);
            (row.org_id, row.database_id) = (Some(org_id), Some(entry.id));
            row.detail =
                json!({ "kind": kind.map(DatabaseKind::as_str), "of": of.to_string(), "backup": backup });
            row.insert(connection)?;
            transaction.effect(ControlEffect::DatabaseCreated(entry));
            Ok(())
        })
        .await?;
        Ok(made)
    }
}
