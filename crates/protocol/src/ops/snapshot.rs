//! A snapshot of a log as text (section 2.4): a header, a line per op, a trailer with a digest over the lines.

use ferry_types::OpSeq;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{BadOpsMessage, code::seq, messages::NumberedOp, op::push_hex, sse::push_one_line};

/// What the header's key `ferry` says.
pub const SNAPSHOT_FERRY: &str = "ops-snapshot";
/// The version of the form.
pub const SNAPSHOT_VERSION: u64 = 1;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotHeader {
    /// [`SNAPSHOT_FERRY`].
    pub ferry: String,
    /// [`SNAPSHOT_VERSION`].
    pub version: u64,
    /// Whose log it is.
    pub hub_id: String,
    /// Its epoch.
    pub epoch: String,
    /// Its head: the cursor of who has read it.
    #[serde(with = "seq")]
    pub seq: OpSeq,
    /// The id of the op with that number.
    pub next_id: Option<String>,
    /// Its stamp (see `PageEnd::next_stamp`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_stamp: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct SnapshotTrailer {
    end: bool,
    count: u64,
    sha256: String,
}

impl SnapshotHeader {
    /// The header of a log's snapshot.
    #[must_use]
    pub fn new(
        hub_id: &str,
        epoch: &str,
        seq: OpSeq,
        (next_id, next_stamp): (Option<String>, Option<String>),
    ) -> Self {
        Self {
            ferry: SNAPSHOT_FERRY.into(),
            version: SNAPSHOT_VERSION,
            hub_id: hub_id.into(),
            epoch: epoch.into(),
            seq,
            next_id,
            next_stamp,
        }
    }

    /// Its line, with the line break.
    #[must_use]
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("BUG: texts and numbers are JSON") + "\n"
    }
}

/// Writes the lines behind the header.
#[derive(Clone, Debug, Default)]
pub struct SnapshotLines {
    digest: Sha256,
    count: u64,
}

impl SnapshotLines {
    /// Appends the line of an op.
    pub fn push(&mut self, out: &mut String, seq: OpSeq, raw: &str) {
        let start = out.len();
        out.push_str("{\"seq\":");
        super::messages::push_number(out, seq.0);
        out.push_str(",\"op\":");
        push_one_line(out, raw);
        out.push_str("}\n");
        self.digest.update(&out[start..]);
        self.count += 1;
    }

    /// The trailer, with its line break.
    #[must_use]
    pub fn finish(self) -> String {
        let trailer = SnapshotTrailer { end: true, count: self.count, sha256: hex(self.digest) };
        serde_json::to_string(&trailer).expect("BUG: texts and numbers are JSON") + "\n"
    }
}

fn hex(digest: Sha256) -> String {
    let mut hex = String::with_capacity(64);
    push_hex(&mut hex, &digest.finalize());
    hex
}

/// A line of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotLine<'a> {
    /// The first.
    Header(SnapshotHeader),
    /// An op.
    Op {
        /// Its number.
        seq: OpSeq,
        /// Its text.
        raw: &'a str,
    },
    /// The last; digest and count were right.
    End,
}

/// Reads a snapshot line by line and checks it. Whole is only what ended with [`SnapshotLine::End`].
#[derive(Clone, Debug, Default)]
pub struct SnapshotReader {
    has_header: bool,
    has_ended: bool,
    lines: SnapshotLines,
}

impl SnapshotReader {
    /// Reads the next line, without its line break.
    ///
    /// # Errors
    /// When it is not what can stand there, or the trailer does not fit what came before.
    pub fn line<'a>(&mut self, line: &'a str) -> Result<SnapshotLine<'a>, BadOpsMessage> {
        let wrong =
            |error: serde_json::Error| BadOpsMessage(format!("not a line of a snapshot of ops: {error}"));
        if self.has_ended {
            return Err(BadOpsMessage("a snapshot of ops goes on behind its end".into()));
        }
        if !self.has_header {
            let header: SnapshotHeader = serde_json::from_str(line).map_err(wrong)?;
            if header.ferry != SNAPSHOT_FERRY || header.version != SNAPSHOT_VERSION {
                return Err(BadOpsMessage(format!(
                    "not a snapshot of ops that this version reads: {} {}",
                    header.ferry, header.version
                )));
            }
            self.has_header = true;
            return Ok(SnapshotLine::Header(header));
        }
        if line.starts_with("{\"end\":") {
            let trailer: SnapshotTrailer = serde_json::from_str(line).map_err(wrong)?;
            let lines = std::mem::take(&mut self.lines);
            if !trailer.end || trailer.count != lines.count || trailer.sha256 != hex(lines.digest) {
                return Err(BadOpsMessage("a snapshot of ops is damaged: its digest does not fit".into()));
            }
            self.has_ended = true;
            return Ok(SnapshotLine::End);
        }
        let op: NumberedOp<'a> = serde_json::from_str(line).map_err(wrong)?;
        self.lines.digest.update(line);
        self.lines.digest.update("\n");
        self.lines.count += 1;
        Ok(SnapshotLine::Op { seq: op.seq, raw: op.raw.get() })
    }

    /// Whether the end was read.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.has_ended
    }
}
