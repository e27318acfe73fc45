//! API keys that nobody makes: that of `--dev` (CFG-04), and the token of a spoke's store.

use ferry_auth::api_key::KeyKind;
use ferry_types::{Model, ModelSet, Op, OpSet, Result};
use rusqlite::Connection;

use crate::{
    control_db::ControlDb,
    credentials::api_keys::{new_key, spec::ApiKeySpec},
    directory::{api_key_rows::ApiKeyLimits, effects::ControlEffect, entries::DatabaseEntry},
};

/// Makes the public key of `--dev`, which reaches every model of its database, unless it is there (CFG-04).
pub(crate) async fn seed_api_key(db: &ControlDb, entry: &DatabaseEntry, value: &'static str) -> Result<()> {
    if db.directory().has_api_key(value) {
        return Ok(());
    }
    let spec = ApiKeySpec {
        kind: KeyKind::Publishable,
        label: "dev".to_owned(),
        models: ModelSet::ALL,
        ops: OpSet::of(&[Op::Read, Op::Write]),
        limits: ApiKeyLimits::default(),
        expires_unix: 0,
        import: value.to_owned(),
    };
    insert(db, entry, &spec).await
}

/// Takes the tokens of earlier starts away, before anything is known of them.
pub(crate) fn forget_store_tokens(connection: &Connection) -> ferry_sqlite::Result<()> {
    connection.execute("DELETE FROM api_keys", [])?;
    Ok(())
}

/// Lets the holders of `token` read, write and administer the ops of a spoke's store.
pub(crate) async fn seed_store_token(db: &ControlDb, entry: &DatabaseEntry, token: &str) -> Result<()> {
    let spec = ApiKeySpec {
        kind: KeyKind::Secret,
        label: "token".to_owned(),
        models: ModelSet::of(&[Model::Ops]),
        ops: OpSet::of(&[Op::Read, Op::Write, Op::Admin]),
        // It stands for all of the owner's machines.
        limits: ApiKeyLimits { per_minute: u32::MAX, ..ApiKeyLimits::default() },
        expires_unix: 0,
        import: token.to_owned(),
    };
    insert(db, entry, &spec).await
}

async fn insert(db: &ControlDb, entry: &DatabaseEntry, spec: &ApiKeySpec) -> Result<()> {
    let (_, row) = new_key(db, entry, spec, db.now())?;
    db.write(move |transaction| {
        // What a developer revoked or deleted with its database comes back with the next start.
        let digest = row.digest;
        transaction.connection().execute("DELETE FROM api_keys WHERE hash = ?1", [digest])?;
        row.insert(transaction.connection())?;
        transaction.effect(ControlEffect::ApiKeyCreated(row.entry()));
        Ok(())
    })
    .await
}
