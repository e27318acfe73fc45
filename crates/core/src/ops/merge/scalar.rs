//! Scalars: the greatest `set` wins (OPS-21); another head of another value is in conflict with it (OPS-25).

use std::{cmp::Ordering, ops::ControlFlow};

use ferry_protocol::ops::{OpKind, canonical_digest};

use super::{Fold, heads::NewHead, state::Greatest};
use crate::sql::Sql;

const VALUE: &str = "SELECT value FROM _ferry_op_fields WHERE entity = ?1 AND field = ?2";
const HEADS_OF_VALUE: &str =
    "SELECT id FROM _ferry_op_heads WHERE entity = ?1 AND field = ?2 AND digest = ?3";

impl<S: Sql> Fold<'_, S> {
    pub(super) fn set(&mut self) -> Result<(), S::Error> {
        let Some(winner) = self.field_row.winner.take() else {
            return self.win(None);
        };
        let order = match self.hlc.cmp(&winner.hlc) {
            Ordering::Equal => {
                // Two stores with one origin: one is a copy of the other.
                let own = (self.own_digest(), &*self.op.id);
                own.cmp(&(self.winning_digest()?, &*winner.id))
            }
            order => order,
        };
        if order == Ordering::Greater {
            return self.win(Some(winner));
        }
        self.field_row.winner = Some(winner);
        if self.is_covered {
            return Ok(());
        }
        let (own, winning) = (self.own_digest(), self.winning_digest()?);
        self.put_own_head(&own)?;
        if self.is_dead() || own != winning {
            self.open(&self.op.id)?;
        }
        Ok(())
    }

    fn win(&mut self, before: Option<Greatest>) -> Result<(), S::Error> {
        let is_dead = self.is_dead();
        if let Some(before) = before {
            let had_others = self.field_row.others > 0;
            if before.is_head || had_others {
                let (losing, winning) = (self.winning_digest()?, self.own_digest());
                if before.is_head {
                    let head = NewHead {
                        origin: before.origin(),
                        hlc: &before.hlc,
                        id: &before.id,
                        via: "",
                        digest: Some(&losing),
                    };
                    self.put_head(&OpKind::Set, &head)?;
                }
                if !is_dead && losing != winning {
                    for loser in self.heads_of_value(&losing)? {
                        self.open(&loser)?;
                    }
                    self.covered.extend(self.heads_of_value(&winning)?);
                }
            }
        }
        let is_head = !self.is_covered;
        let row = &mut self.field_row;
        row.winner = Some(Greatest { id: self.op.id.clone(), hlc: self.hlc.clone(), is_head });
        (row.is_changed, row.has_new_value) = (true, true);
        if is_dead && is_head {
            self.open(&self.op.id)?;
        }
        Ok(())
    }

    fn put_own_head(&mut self, digest: &[u8; 32]) -> Result<(), S::Error> {
        let (origin, hlc, op) = (self.origin.clone(), self.hlc.clone(), self.op);
        let head = NewHead { origin: &origin, hlc: &hlc, id: &op.id, via: "", digest: Some(digest) };
        self.put_head(&OpKind::Set, &head)
    }

    fn own_digest(&self) -> [u8; 32] {
        canonical_digest(self.op.value.as_deref().unwrap_or("null"))
    }

    /// That of the value in the field's row.
    fn winning_digest(&self) -> Result<[u8; 32], S::Error> {
        let parameters = [self.entity.into(), self.field.unwrap_or_default().into()];
        let digest = self.sql.first(VALUE, &parameters, |row| Ok(canonical_digest(row.text(0)?)))?;
        Ok(digest.expect("BUG: the winner's row has its value"))
    }

    fn heads_of_value(&self, digest: &[u8; 32]) -> Result<Vec<String>, S::Error> {
        let mut ids = Vec::new();
        let parameters = [self.entity.into(), self.field.unwrap_or_default().into(), digest[..].into()];
        self.sql.query(HEADS_OF_VALUE, &parameters, &mut |row| {
            ids.push(row.text(0)?.to_owned());
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(ids)
    }
}
