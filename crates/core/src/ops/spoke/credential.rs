//! What another credential changes: ops that the hub did not take for want of rights are worth another try (OPS-64).

use ferry_protocol::ops::parse_op;

use super::{SpokeStep, log, outbox, peer};
use crate::{
    ops::{
        meta::{self, MetaKey},
        row,
    },
    sql::Sql,
};

/// Notes the credential that exchanges are made with from now on, by its `digest`. If it is another one than before, the
/// ops that were refused for want of rights are merged again and wait to be pushed, and so are those of others that this
/// spoke relayed; tells how many of its own there are.
///
/// # Errors
/// What storage reports.
pub fn note_credential<S: Sql>(sql: &S, digest: &str, step: &SpokeStep<'_>) -> Result<u64, S::Error> {
    if meta::get(sql, MetaKey::Credential)?.as_deref() == Some(digest) {
        return Ok(0);
    }
    meta::set(sql, MetaKey::Credential, digest)?;
    if meta::get(sql, MetaKey::RelayRefused)?.is_some() {
        meta::remove(sql, MetaKey::RelayRefused)?;
        peer::repush(sql)?;
    }
    let mut count = 0;
    for (id, raw) in outbox::refused_for_rights(sql)? {
        let Ok(op) = parse_op(&raw) else { continue };
        if row::known(sql, &id)?.is_none() {
            log::insert(sql, &op, None, step)?;
        }
        outbox::retry(sql, &id)?;
        count += 1;
    }
    Ok(count)
}
