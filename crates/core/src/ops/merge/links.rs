//! Links: an observed-remove set (OPS-22). A target is there while one of its adds is not removed.

use super::Fold;
use crate::sql::{Sql, Value};

const PUT: &str = "INSERT OR REPLACE INTO _ferry_op_links(add_id, entity, field, target, removed)
    VALUES (?1, ?2, ?3, ?4, ?5)";
const REMOVE: &str = "UPDATE _ferry_op_links SET removed = 1 WHERE add_id = ?1 AND entity = ?2";

impl<S: Sql> Fold<'_, S> {
    pub(super) fn link(&self) -> Result<(), S::Error> {
        let (Some(field), Some(target)) = (self.field, self.op.to.as_deref()) else { return Ok(()) };
        let removed = self.take_edges(true)?;
        let row = [
            (*self.op.id).into(),
            self.entity.into(),
            field.into(),
            target.into(),
            Value::Integer(removed.into()),
        ];
        self.sql.execute(PUT, &row).map(drop)
    }

    pub(super) fn unlink(&self) -> Result<(), S::Error> {
        for add in &self.op.removes {
            if self.sql.execute(REMOVE, &[(**add).into(), self.entity.into()])? == 0 {
                self.put_edge(add, true)?;
            }
        }
        Ok(())
    }
}
