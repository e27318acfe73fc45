//! Tombstones: no op revives an entity (OPS-23). What its deleter had not seen is in conflict with the deletion.

use std::ops::ControlFlow;

use super::Fold;
use crate::sql::{Sql, Value};

const WINNERS_BELOW: &str = "SELECT winner FROM _ferry_op_fields
    WHERE entity = ?1 AND is_head = 1 AND hlc < ?3 AND substr(hlc, 19) = ?2";
const COVER_WINNERS: &str = "UPDATE _ferry_op_fields SET is_head = 0
    WHERE entity = ?1 AND is_head = 1 AND hlc < ?3 AND substr(hlc, 19) = ?2";
const TEXTS_BELOW: &str = "SELECT text_id FROM _ferry_op_fields
    WHERE entity = ?1 AND text_is_head = 1 AND text_hlc < ?3 AND substr(text_hlc, 19) = ?2";
const COVER_TEXTS: &str = "UPDATE _ferry_op_fields SET text_is_head = 0
    WHERE entity = ?1 AND text_is_head = 1 AND text_hlc < ?3 AND substr(text_hlc, 19) = ?2";
const HEADS: &str = "SELECT winner FROM _ferry_op_fields WHERE entity = ?1 AND is_head = 1
    UNION SELECT text_id FROM _ferry_op_fields WHERE entity = ?1 AND text_is_head = 1
    UNION SELECT CASE via WHEN '' THEN id ELSE via END FROM _ferry_op_heads WHERE entity = ?1";

impl<S: Sql> Fold<'_, S> {
    pub(super) fn tombstone(&mut self) -> Result<(), S::Error> {
        if !self.origin.is_empty() {
            self.cover_entity()?;
        }
        if self.is_dead() {
            return Ok(());
        }
        for head in self.ids(HEADS, &[self.entity.into()])? {
            self.open(&head)?;
        }
        Ok(())
    }

    /// Covers all that the tombstone's origin had written to the entity.
    fn cover_entity(&mut self) -> Result<(), S::Error> {
        let (origin, hlc) = (self.origin.clone(), self.hlc.clone());
        let parameters = [self.entity.into(), (*origin).into(), (*hlc).into()];
        for (below, cover) in [(WINNERS_BELOW, COVER_WINNERS), (TEXTS_BELOW, COVER_TEXTS)] {
            // In a live entity neither a winner nor the greatest text is in conflict.
            if self.is_dead() {
                let heads = self.ids(below, &parameters)?;
                self.covered.extend(heads);
            }
            self.sql.execute(cover, &parameters)?;
        }
        self.take_below()
    }

    fn ids(&self, query: &str, parameters: &[Value<'_>]) -> Result<Vec<String>, S::Error> {
        let mut ids = Vec::new();
        self.sql.query(query, parameters, &mut |row| {
            ids.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(ids)
    }
}
