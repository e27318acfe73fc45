//! A store as text: one header, one line per event, one trailer with a digest (section 2.10, EVT-46).

use std::ops::ControlFlow;

use ferry_protocol::events::{EXPORT_FERRY, EXPORT_VERSION, ExportHeader, ExportTrailer, write_committed};
use sha2::{Digest as _, Sha256};

use super::{log::each_event, page::count, store::StoreRow};
use crate::sql::Sql;

/// Takes pieces of an export, in order.
pub type ExportSink<'a, E> = dyn FnMut(&str) -> Result<(), E> + 'a;

/// Writes the events after `after`, as this snapshot shows them.
///
/// # Errors
/// What storage or `write` reports.
pub fn export<S: Sql>(
    sql: &S,
    row: &StoreRow,
    after: i64,
    write: &mut ExportSink<'_, S::Error>,
) -> Result<(), S::Error> {
    let mut base = None;
    each_event(sql, &row.key, (after, row.head), 1, &mut |event, _| {
        base = Some(event.parent_seq_num);
        Ok(ControlFlow::Break(()))
    })?;
    let header = ExportHeader {
        ferry: EXPORT_FERRY.into(),
        version: EXPORT_VERSION,
        store_id: row.key.id.clone(),
        backend_id: row.backend_id.clone(),
        head: row.head,
        base: base.unwrap_or(row.head),
        count: count(sql, &row.key, after, row.head)?,
    };
    let mut line = String::with_capacity(1024);
    header.write(&mut line);
    line.push('\n');
    write(&line)?;
    let (mut digest, mut written) = (Sha256::new(), 0);
    each_event(sql, &row.key, (after, row.head), u32::MAX, &mut |event, seq| {
        line.clear();
        write_committed(&mut line, event, u64::try_from(seq).unwrap_or(0));
        line.push('\n');
        digest.update(&line);
        written += 1;
        write(&line)?;
        Ok(ControlFlow::Continue(()))
    })?;
    let sha256 = hex(&digest.finalize());
    let trailer = ExportTrailer { end: true, count: written, sha256: sha256.into() };
    write(&(trailer.line() + "\n"))
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        text.push(char::from_digit(u32::from(byte >> 4), 16).expect("BUG: below 16"));
        text.push(char::from_digit(u32::from(byte & 15), 16).expect("BUG: below 16"));
        text
    })
}
