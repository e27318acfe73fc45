//! The API key of `--dev` (CFG-04).

use ferry_auth::api_key::KeyKind;
use ferry_types::{ModelSet, Op, OpSet, Result};

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
    let (_, row) = new_key(db, entry, &spec, db.now())?;
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
