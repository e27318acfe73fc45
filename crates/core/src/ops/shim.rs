//! hephd's pull: all ops behind the first one that has the client's HLC, in order of arrival (OPS-05, OPS-06). The body is
//! made in parts, each from a snapshot of its own.

use std::ops::ControlFlow;

use ferry_types::OpSeq;

use super::{meta, row};
use crate::sql::Sql;

/// Bytes of a body behind which it may end early, unless configured.
pub const SHIM_PAGE_BYTES: u64 = 16 << 20;

const FIRST: &str = "SELECT op_seq FROM _ferry_ops WHERE hlc = ?1 ORDER BY op_seq LIMIT 1";
const FIRST_DROPPED: &str = "SELECT min(op_seq) FROM _ferry_op_seen WHERE hlc = ?1";
const OPS: &str = "SELECT op_seq, hlc, raw FROM _ferry_ops
    WHERE op_seq > ?1 AND op_seq <= ?2 AND (kind IS NULL OR via_shim = 1) ORDER BY op_seq";
const ALL_OPS: &str =
    "SELECT op_seq, hlc, raw FROM _ferry_ops WHERE op_seq > ?1 AND op_seq <= ?2 ORDER BY op_seq";

/// A pull on its way.
#[derive(Clone, Debug)]
pub struct ShimPull {
    after: String,
    has_whole_scope: bool,
    page_bytes: u64,
    cursor: OpSeq,
    /// What comes later is for the next pull.
    upto: OpSeq,
    /// The greatest HLC of the body so far.
    greatest: String,
    bytes: u64,
    is_begun: bool,
    is_over: bool,
}

impl ShimPull {
    /// A pull of a client that stores `after` as its cursor; empty: it has none.
    ///
    /// # Errors
    /// What storage reports.
    pub fn begin<S: Sql>(
        sql: &S,
        after: &str,
        has_whole_scope: bool,
        page_bytes: u64,
    ) -> Result<Self, S::Error> {
        let meta = meta::read(sql)?;
        let (head, floor) = meta.map_or((OpSeq(0), OpSeq(0)), |meta| (meta.head, meta.floor));
        let first = if after.is_empty() || head == OpSeq(0) { None } else { first_with(sql, after)? };
        Ok(Self {
            after: after.to_owned(),
            has_whole_scope,
            page_bytes,
            cursor: first.filter(|first| *first >= floor).unwrap_or(OpSeq(0)),
            upto: head,
            greatest: String::new(),
            bytes: 0,
            is_begun: false,
            is_over: false,
        })
    }

    /// The next part of the body, of about `part_bytes` or one op; `None`: it is whole.
    ///
    /// # Errors
    /// What storage reports.
    pub fn next_part<S: Sql>(&mut self, sql: &S, part_bytes: usize) -> Result<Option<Vec<u8>>, S::Error> {
        if self.is_over {
            return Ok(None);
        }
        let mut part = Vec::with_capacity(part_bytes.min(64 << 10));
        if !self.is_begun {
            part.extend_from_slice(b"{\"ops\":[");
            self.is_begun = true;
        }
        let mut is_cut = false;
        if self.cursor < self.upto {
            let query = if self.has_whole_scope { ALL_OPS } else { OPS };
            sql.query(query, &[self.cursor.into(), self.upto.into()], &mut |row| {
                if part.len() >= part_bytes {
                    is_cut = true;
                    return Ok(ControlFlow::Break(()));
                }
                self.cursor = row::seq_of(row.integer(0)?)?;
                let (hlc, raw) = (row.text(1)?, row.text(2)?);
                if self.bytes > 0 {
                    part.push(b',');
                }
                part.extend_from_slice(raw.as_bytes());
                self.bytes += raw.len() as u64 + 1;
                // Only here may a client's cursor come to stand whose next pull goes on behind this op.
                let is_new_greatest = hlc > &*self.greatest;
                if is_new_greatest {
                    hlc.clone_into(&mut self.greatest);
                }
                if self.bytes > self.page_bytes && is_new_greatest && hlc > &*self.after {
                    return Ok(ControlFlow::Break(()));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        if !is_cut {
            part.extend_from_slice(b"]}");
            self.is_over = true;
        }
        Ok(Some(part))
    }
}

/// The lowest number of an op with this HLC, dropped ones included.
fn first_with<S: Sql>(sql: &S, hlc: &str) -> Result<Option<OpSeq>, S::Error> {
    let retained = sql.first(FIRST, &[hlc.into()], |row| Ok(row::seq_of(row.integer(0)?)?))?;
    let dropped = sql.first(FIRST_DROPPED, &[hlc.into()], |row| Ok(row.optional_integer(0)?))?.flatten();
    let dropped = dropped.map(row::seq_of).transpose()?;
    Ok(retained.into_iter().chain(dropped).min())
}
