//! An event as a row of storage.

use std::ops::ControlFlow;

use ferry_protocol::events::EventRef;

use crate::sql::{Damaged, Row};

/// The newest event of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    /// Its number.
    pub seq_num: i64,
    /// When it was committed.
    pub created_at: Box<str>,
    /// The commit that appended it.
    pub commit_seq: i64,
}

impl Newest {
    pub(super) fn read(row: &dyn Row) -> Result<Self, Damaged> {
        Ok(Self { seq_num: row.integer(0)?, created_at: row.text(1)?.into(), commit_seq: row.integer(2)? })
    }
}

/// What [`super::log::each_event`] hands an event and the number of its commit to; it may break off.
pub type EachEvent<'a, E> = dyn FnMut(&EventRef<'_>, i64) -> Result<ControlFlow<()>, E> + 'a;

/// The event of a row that begins with the columns of a page: number, parent, name, args, time, client, session.
pub(super) fn event(row: &dyn Row) -> Result<EventRef<'_>, Damaged> {
    Ok(EventRef {
        seq_num: row.integer(0)?,
        parent_seq_num: row.integer(1)?,
        name: row.text(2)?,
        args: row.optional_text(3)?,
        created_at: row.text(4)?,
        client_id: row.text(5)?,
        session_id: row.text(6)?,
    })
}
