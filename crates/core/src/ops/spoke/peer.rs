//! Whose log the spoke follows, and how far (OPS-30): known by the hub's id, wherever it is reached.

use ferry_types::OpSeq;

use super::outbox::{integer, op_seq};
use crate::{
    ops::{meta::MetaKey, stamp},
    sql::Sql,
};

/// Where the hub is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerTarget {
    /// URL of the hub, in its one spelling.
    pub url: String,
    /// Which of its databases.
    pub database: String,
}

/// The log that the spoke follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Id of the log.
    pub hub_id: String,
    /// Its epoch.
    pub epoch: String,
    /// Where it was reached last.
    pub url: String,
    /// Which database it was reached as.
    pub database: String,
    /// The spoke holds every op up to this one.
    pub cursor: OpSeq,
    /// That op's id.
    pub cursor_id: Option<String>,
    /// And its stamp, if the hub told it (see [`stamp`]).
    pub cursor_stamp: Option<String>,
    /// The hub has compacted its log up to here.
    pub floor: OpSeq,
    /// And this store its own.
    pub compacted: OpSeq,
    /// The hub is being given what it lost (OPS-33).
    pub is_repushing: bool,
}

pub(super) fn current<S: Sql>(sql: &S) -> Result<Option<Peer>, S::Error> {
    let select = "SELECT hub_id, epoch, url, database, cursor_seq, cursor_id, floor, compacted, is_repushing
        FROM _ferry_op_peers";
    let peer = sql.first(select, &[], |row| {
        Ok(Peer {
            hub_id: row.text(0)?.to_owned(),
            epoch: row.text(1)?.to_owned(),
            url: row.text(2)?.to_owned(),
            database: row.text(3)?.to_owned(),
            cursor: op_seq::<S::Error>(row, 4)?,
            cursor_id: row.optional_text(5)?.map(str::to_owned),
            cursor_stamp: None,
            floor: op_seq::<S::Error>(row, 6)?,
            compacted: op_seq::<S::Error>(row, 7)?,
            is_repushing: row.integer(8)? != 0,
        })
    })?;
    let Some(peer) = peer else { return Ok(None) };
    let cursor_stamp = stamp::kept(sql, MetaKey::CursorStamp, peer.cursor)?;
    Ok(Some(Peer { cursor_stamp, ..peer }))
}

/// Follows this log from now on, and no other: the cursor of a former one says nothing of what this one has.
pub(super) fn follow<S: Sql>(sql: &S, peer: &Peer) -> Result<(), S::Error> {
    sql.execute("DELETE FROM _ferry_op_peers", &[])?;
    let insert = "INSERT INTO _ferry_op_peers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let row = [
        peer.hub_id.as_str().into(),
        peer.epoch.as_str().into(),
        peer.url.as_str().into(),
        peer.database.as_str().into(),
        integer(peer.cursor).into(),
        peer.cursor_id.as_deref().into(),
        integer(peer.floor).into(),
        integer(peer.compacted).into(),
        i64::from(peer.is_repushing).into(),
    ];
    sql.execute(insert, &row)?;
    stamp::keep(sql, MetaKey::CursorStamp, peer.cursor, peer.cursor_stamp.as_deref())
}

/// Moves the cursor to the op with this number, of this id and stamp.
pub(super) fn set_cursor<S: Sql>(
    sql: &S,
    cursor: OpSeq,
    (id, stamp): (Option<&str>, Option<&str>),
) -> Result<(), S::Error> {
    let update = "UPDATE _ferry_op_peers SET cursor_seq = ?1, cursor_id = ?2";
    sql.execute(update, &[integer(cursor).into(), id.into()])?;
    stamp::keep(sql, MetaKey::CursorStamp, cursor, stamp)
}

pub(super) fn set_address<S: Sql>(sql: &S, target: &PeerTarget) -> Result<(), S::Error> {
    let update = "UPDATE _ferry_op_peers SET url = ?1, database = ?2";
    sql.execute(update, &[target.url.as_str().into(), target.database.as_str().into()]).map(drop)
}

pub(super) fn set_floor<S: Sql>(sql: &S, floor: OpSeq) -> Result<(), S::Error> {
    sql.execute("UPDATE _ferry_op_peers SET floor = ?1", &[integer(floor).into()]).map(drop)
}

pub(super) fn set_compacted<S: Sql>(sql: &S, floor: OpSeq) -> Result<(), S::Error> {
    sql.execute("UPDATE _ferry_op_peers SET compacted = ?1", &[integer(floor).into()]).map(drop)
}

/// Whatever hub is followed is to be given what it lacks.
pub(super) fn repush<S: Sql>(sql: &S) -> Result<(), S::Error> {
    sql.execute("UPDATE _ferry_op_peers SET is_repushing = 1", &[]).map(drop)
}

pub(super) fn repushed<S: Sql>(sql: &S) -> Result<(), S::Error> {
    sql.execute("UPDATE _ferry_op_peers SET is_repushing = 0", &[]).map(drop)
}
