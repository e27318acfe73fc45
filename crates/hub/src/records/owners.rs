//! Names of owners (REC-34): those that requests mean, and those that an earlier program gave them.

use std::sync::{Arc, atomic::Ordering};

use ferry_auth::{
    Principal,
    principal::{ANONYMOUS_OWNER, jwt_owner, subject_of},
};
use ferry_core::records::{RecordMaintenance as _, RecordQueries as _};
use ferry_types::{ApiKeyId, Error, Reason, Result, UserId};

use super::{entry::RecordsEntry, storage};

use crate::{database::Database, hub::Hub};
use ferry_control::Requester;

/// In place of an issuer that is not known: until a JWT with this `sub` comes.
const ANY_ISSUER: &str = "*";
/// Owners among which a mistyped name is looked for.
const SUGGESTED_MAX_OWNERS: usize = 10_000;
/// How alike two names have to be, from 0 to 1.
const SUGGESTED_MIN_LIKENESS: f64 = 0.8;

/// Brings the tables of an earlier program up to date. Owners of the first were the bare `sub` of a JWT and the bare ids of
/// accounts.
///
/// # Errors
/// What storage reports.
pub(super) async fn migrate(hub: &Hub, database: &Arc<Database>) -> Result<()> {
    let state = Arc::clone(&database.models().records);
    let found = storage::read(database, |store| {
        Ok((store.is_outdated()?, store.has_owner_like(&jwt_owner(ANY_ISSUER, ""))?))
    });
    let Some((is_outdated, has_unclaimed)) = found.await? else { return Ok(()) };
    state.has_unclaimed.store(has_unclaimed, Ordering::Release);
    if !is_outdated {
        return Ok(());
    }
    let issuer = hub.control.jwt_issuer(database.id()).unwrap_or_else(|| ANY_ISSUER.into());
    tracing::info!(database = %database.id(), %issuer, "the owners of records get names of their own kinds");
    let name = move |owner: &str| match is_own_kind(owner) {
        true => owner.to_owned(),
        false => match &*issuer {
            ANY_ISSUER => jwt_owner(ANY_ISSUER, owner),
            issuer => jwt_owner(issuer, owner),
        },
    };
    let by = Requester::hub();
    let migrated = storage::submit(database, &by, move |store, _| {
        store.migrate(name)?;
        let left = store.has_owner_like(&jwt_owner(ANY_ISSUER, ""))?;
        state.has_unclaimed.store(left, Ordering::Release);
        Ok(())
    });
    migrated.await.map(drop)
}

/// Whether a name is one of an account, an API key or `--dev`, which keep theirs.
fn is_own_kind(owner: &str) -> bool {
    owner == ANONYMOUS_OWNER || owner.parse::<UserId>().is_ok() || owner.parse::<ApiKeyId>().is_ok()
}

/// Gives the records that an earlier program kept under a bare `sub`, at a database that takes JWTs of any issuer, to the
/// first JWT that has it: its keys are those that spoke for the `sub` then.
///
/// # Errors
/// What storage reports.
pub(super) async fn claim(entry: &RecordsEntry) -> Result<()> {
    let Principal::Jwt(jwt) = &entry.context.auth.principal else { return Ok(()) };
    if !entry.context.database.models().records.has_unclaimed.load(Ordering::Acquire) {
        return Ok(());
    }
    let (old, new) = (jwt_owner(ANY_ISSUER, &jwt.subject), jwt_owner(&jwt.issuer, &jwt.subject));
    let (held, named) = (old.clone(), new.clone());
    let is_waiting = storage::read(&entry.context.database, move |store| {
        Ok(store.has_owner(&held)? && !store.has_owner(&named)?)
    });
    if old == new || is_waiting.await? != Some(true) {
        return Ok(());
    }
    let claimed = storage::submit(&entry.context.database, &entry.context.requester, move |store, _| {
        if store.exists()? && !store.has_owner(&new)? {
            store.rename_owner(&old, &new)?;
        }
        Ok(())
    });
    claimed.await.map(drop)
}

/// The owner that `?owner=` means: its name, or the bare `sub` of a JWT where only one has it.
///
/// # Errors
/// `NOT_FOUND` for one without records; unless it is written to and its name is one that a credential can have.
pub(super) async fn named(entry: &RecordsEntry, name: &str, is_written: bool) -> Result<Arc<str>> {
    let text = name.to_owned();
    let found = storage::read(&entry.context.database, move |store| {
        if store.has_owner(&text)? {
            return Ok((true, Vec::new()));
        }
        Ok((false, store.owner_names(SUGGESTED_MAX_OWNERS)?))
    });
    let (is_known, names) = found.await?.unwrap_or_default();
    if is_known || *name == *entry.owner {
        return Ok(name.into());
    }
    let mut subjects = names.iter().filter(|owner| subject_of(owner) == name);
    if let (Some(owner), None) = (subjects.next(), subjects.next()) {
        return Ok((&**owner).into());
    }
    let can_be = is_own_kind(name) || subject_of(name) != name;
    if is_written && can_be {
        return Ok(name.into());
    }
    let alike =
        |owner: &String| strsim::jaro_winkler(name, owner).max(strsim::jaro_winkler(name, subject_of(owner)));
    let nearest = names.iter().map(|owner| (alike(owner), owner)).max_by(|a, b| a.0.total_cmp(&b.0));
    let advice = match nearest.filter(|(likeness, _)| *likeness >= SUGGESTED_MIN_LIKENESS) {
        Some((_, owner)) => format!("did you mean {owner}?"),
        None => "GET …/records/owners, or ferry records owners, lists them".to_owned(),
    };
    Err(Error::new(Reason::NotFound, format!("no owner {name} has records here; {advice}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_keys_and_dev_keep_their_names() {
        for own in ["dev", "u_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153", "k_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153"]
        {
            assert!(is_own_kind(own), "{own}");
        }
        for other in ["ada", "u_1", "jwt:https://id.example#ada", "3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153"] {
            assert!(!is_own_kind(other), "{other}");
        }
    }
}
