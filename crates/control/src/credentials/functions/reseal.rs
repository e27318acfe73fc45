//! Keys and secrets of functions follow the hub's signing key: what an older one sealed is sealed anew, so that the older
//! one may go.

use std::collections::BTreeSet;

use ferry_auth::{KeyRing, SigningKey, sealing};
use ferry_sqlite::Result;
use ferry_types::DatabaseId;
use rusqlite::Connection;

use crate::{
    directory::{
        columns::parsed,
        function_rows::{key_context, secret_context},
    },
    random,
};

/// A table with sealed bytes.
struct Table {
    select: &'static str,
    update: &'static str,
    context: fn(&str, &str) -> String,
}

/// Version and kid stand in front of what is sealed.
const TABLES: [Table; 2] = [
    Table {
        select: "SELECT database_id, kid, private_sealed FROM fn_signing_keys WHERE substr(private_sealed, 2, 4) <> ?1",
        update: "UPDATE fn_signing_keys SET private_sealed = ?3 WHERE database_id = ?1 AND kid = ?2",
        context: key_context,
    },
    Table {
        select: "SELECT database_id, name, sealed FROM fn_secrets WHERE substr(sealed, 2, 4) <> ?1",
        update: "UPDATE fn_secrets SET sealed = ?3 WHERE database_id = ?1 AND name = ?2",
        context: secret_context,
    },
];

/// Seals anew with `signing` what another key of `ring` sealed; gives the databases whose rows changed. What no key opens
/// stays as it is, and is logged.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn reseal(
    connection: &Connection,
    ring: &KeyRing,
    signing: &SigningKey,
) -> Result<BTreeSet<DatabaseId>> {
    let mut changed = BTreeSet::new();
    for Table { select, update, context } in TABLES {
        let mut statement = connection.prepare(select)?;
        let mut rows = statement.query([signing.kid().to_be_bytes()])?;
        let mut stale: Vec<(DatabaseId, String, Vec<u8>)> = Vec::new();
        while let Some(row) = rows.next()? {
            stale.push((parsed(row, 0)?, row.get(1)?, row.get(2)?));
        }
        for (id, name, sealed) in stale {
            let context = context(&id.to_string(), &name);
            match sealing::open(ring, &context, &sealed) {
                Ok(secret) => {
                    let sealed = sealing::seal(signing, &context, random::bytes()?, &secret);
                    connection.execute(update, rusqlite::params![id.to_string(), name, sealed])?;
                    changed.insert(id);
                }
                Err(error) => {
                    tracing::warn!(database = %id, name, %error, "a key or secret of functions is lost");
                }
            }
        }
    }
    Ok(changed)
}
