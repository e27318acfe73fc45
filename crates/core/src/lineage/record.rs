//! `DATA/lineage`: which run the data directory is of, told outside of `control.db`. Two records of 512 bytes, written in
//! turn and in place, so that the file stays the one that it is, and one of the two is whole after a power cut.

use ferry_types::RunId;
use serde::{Deserialize, Serialize};

use super::answer::LineageAnswer;

/// Bytes of a record.
pub const RECORD_BYTES: usize = 512;
/// Bytes of the file.
pub const FILE_BYTES: usize = 2 * RECORD_BYTES;

/// Hexadecimal digits of the check that a record begins with.
const CHECK_DIGITS: usize = 16;

/// How far the run had come when the record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LineageState {
    /// `control.db` was about to be told of it.
    Starting,
    /// It served.
    Running,
    /// It ended in order.
    Stopped,
    /// The hub is stopped, and the operator has said what is to follow.
    Answered,
}

impl LineageState {
    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Answered => "answered",
        }
    }
}

/// A record of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineageRecord {
    /// Which of the two is newer.
    pub serial: u64,
    /// Of the hub.
    pub hub_id: String,
    /// The run.
    pub run: RunId,
    /// The one before it; `None`: it is the first.
    pub previous: Option<RunId>,
    /// When the file was made, by its file system, in nanoseconds since 1970; `None`: it does not say.
    pub born_ns: Option<i64>,
    /// How far the run had come.
    pub state: LineageState,
    /// What was found, or answered, and is still to be done: a start that was cut short must not forget it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<LineageAnswer>,
    /// The newest commit of `control.db`.
    pub control_seq: u64,
}

impl LineageRecord {
    /// Where in the file it is written.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        (self.serial % 2) * RECORD_BYTES as u64
    }

    /// Its bytes; `None` if it is too long, which no hub's is.
    #[must_use]
    pub fn encode(&self) -> Option<[u8; RECORD_BYTES]> {
        let text = serde_json::to_string(self).ok()?;
        let mut line = format!("{} {text}", check(&text));
        if line.len() >= RECORD_BYTES {
            return None;
        }
        line.extend(std::iter::repeat_n(' ', RECORD_BYTES - 1 - line.len()));
        line.push('\n');
        line.into_bytes().try_into().ok()
    }

    /// The newer of the records in `file` that are whole.
    #[must_use]
    pub fn newest(file: &[u8]) -> Option<Self> {
        file.chunks(RECORD_BYTES).filter_map(Self::decode).max_by_key(|record| record.serial)
    }

    fn decode(slot: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(slot).ok()?.trim_end();
        let (found, text) = text.split_once(' ')?;
        (found == check(text)).then(|| serde_json::from_str(text).ok())?
    }
}

/// By which a record that was half written is known.
fn check(text: &str) -> String {
    let digest = blake3::hash(text.as_bytes()).to_hex();
    digest.as_str().chars().take(CHECK_DIGITS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(serial: u64) -> LineageRecord {
        LineageRecord {
            serial,
            hub_id: "0197f5a2-0000-7000-8000-000000000000".into(),
            run: RunId(serial),
            previous: serial.checked_sub(1).map(RunId),
            born_ns: Some(1_795_916_520_123_456_789),
            state: LineageState::Running,
            answer: None,
            control_seq: 7,
        }
    }

    fn file(records: [&LineageRecord; 2]) -> Vec<u8> {
        let mut bytes = vec![0; FILE_BYTES];
        for record in records {
            let at = usize::try_from(record.offset()).unwrap();
            bytes[at..at + RECORD_BYTES].copy_from_slice(&record.encode().unwrap());
        }
        bytes
    }

    // Verifies: OPR-30
    #[test]
    fn of_two_records_the_newer_whole_one_counts() {
        let (one, two) = (record(4), record(5));
        let bytes = file([&one, &two]);
        assert_eq!(LineageRecord::newest(&bytes), Some(two.clone()));
        // A power cut tore what was written last, at any byte.
        let at = usize::try_from(two.offset()).unwrap();
        for cut in 0..RECORD_BYTES {
            let mut torn = bytes.clone();
            torn[at + cut] ^= 0x55;
            let found = LineageRecord::newest(&torn).unwrap();
            assert!(found == one || found == two, "{cut}");
        }
        let first = LineageRecord { answer: Some(LineageAnswer::Restored), previous: None, ..record(0) };
        let mut alone = first.encode().unwrap().to_vec();
        assert_eq!(LineageRecord::newest(&alone), Some(first));
        alone[40] = 0xff;
        for nothing in [&b""[..], b"x", &[0; FILE_BYTES], &alone] {
            assert_eq!(LineageRecord::newest(nothing), None);
        }
        assert_eq!(LineageRecord { hub_id: "x".repeat(600), ..record(1) }.encode(), None);
    }
}
