//! A text written character by character: by a spoke's engine, and merged by a hub's from the ops.

use ferry_core::ops::{
    Texts, merge,
    spoke::{SpokeStep, append, prepare},
};
use ferry_protocol::ops::OpDraft;
use ferry_sqlite::{NativeSql, connection::open_writer};
use ferry_types::{Seq, UnixMillis};

use super::{
    engine::{Log, Took, measured},
    load::BEGIN_MS,
};

/// Edits of one call, or ops of one push.
const BATCH: u64 = 500;

/// What a text of so many edits took.
pub(super) struct Typed {
    pub(super) written: Took,
    pub(super) merged: Took,
    pub(super) read: Took,
}

/// Types `edits` characters, one op each, and gives the ops to a hub's log.
pub(super) fn run(dir: &std::path::Path, edits: u64) -> Typed {
    let (written, ops) = write(&dir.join(format!("typed-{edits}.db")), edits);
    let mut log = Log::open(&dir.join(format!("merged-{edits}.db")));
    let mut merged = Took::default();
    for batch in ops.chunks(usize::try_from(BATCH).expect("a batch is small")) {
        merged += measured(|| log.push(batch, false)).0;
    }
    let (read, text) = measured(|| merge::text::read(&log.sql(), "note/1", "body"));
    assert_eq!(text.expect("the text is read").len() as u64, edits, "every character is there");
    Typed { written, merged, read }
}

fn write(path: &std::path::Path, edits: u64) -> (Took, Vec<String>) {
    let connection = open_writer(path).expect("the file can be made");
    let sql = NativeSql(&connection);
    let mut drawn = 0_u64;
    let mut draw = || {
        drawn += 1;
        drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    };
    prepare(&sql, &mut draw).expect("the store is made");
    let mut texts = Texts::new(7);
    let mut written = Took::default();
    for first in (0..edits).step_by(usize::try_from(BATCH).expect("a batch is small")) {
        let drafts: Vec<OpDraft> = (first..edits.min(first + BATCH))
            .map(|at| {
                let letter = char::from(b'a' + u8::try_from(at % 26).unwrap_or(0));
                let draft = format!(
                    r#"{{"kind":"text","entity":"note/1","field":"body","splice":[[{at},0,"{letter}"]]}}"#
                );
                serde_json::from_str(&draft).expect("the draft is one")
            })
            .collect();
        let now = UnixMillis(BEGIN_MS.cast_signed() + first.cast_signed());
        let (took, ()) = measured(|| {
            connection.execute_batch("BEGIN IMMEDIATE").expect("the transaction begins");
            let mut step = SpokeStep { now, commit: Seq(first + 1), random: &mut draw };
            let appended = append(&sql, &drafts, &mut texts, &mut step).expect("the edits are stored");
            assert!(appended.is_ok(), "the edits are taken");
            connection.execute_batch("COMMIT").expect("the commit succeeds");
        });
        written += took;
    }
    let mut select =
        connection.prepare("SELECT raw FROM _ferry_ops ORDER BY op_seq").expect("the log is read");
    let ops = select.query_map([], |row| row.get(0)).and_then(Iterator::collect);
    (written, ops.expect("the ops are read"))
}
