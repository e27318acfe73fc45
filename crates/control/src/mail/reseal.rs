//! What waits follows the hub's signing key.

use ferry_auth::{KeyRing, SigningKey, sealing};
use ferry_sqlite::Result;
use rusqlite::Connection;

use crate::{mail::queue::context, random};

/// Seals anew with `signing` what another key of `ring` sealed. What no key opens is dropped: nobody could send it.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn reseal(connection: &Connection, ring: &KeyRing, signing: &SigningKey) -> Result<()> {
    let mut statement = connection
        .prepare("SELECT id, kind, address, sealed FROM outbox WHERE substr(sealed, 2, 4) <> ?1")?;
    let mut rows = statement.query([signing.kid().to_be_bytes()])?;
    let mut stale: Vec<(i64, String, Vec<u8>)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, address): (String, String) = (row.get(1)?, row.get(2)?);
        stale.push((row.get(0)?, context(&kind, &address), row.get(3)?));
    }
    for (id, context, sealed) in stale {
        match sealing::open(ring, &context, &sealed) {
            Ok(text) => {
                let sealed = sealing::seal(signing, &context, random::bytes()?, &text);
                connection
                    .execute("UPDATE outbox SET sealed = ?2 WHERE id = ?1", rusqlite::params![id, sealed])?;
            }
            Err(error) => {
                tracing::warn!(mail = id, %error, "a mail that waited is lost");
                connection.execute("DELETE FROM outbox WHERE id = ?1", [id])?;
            }
        }
    }
    Ok(())
}
