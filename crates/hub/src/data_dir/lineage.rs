//! The file `lineage` of a data directory, and what it and `control.db` come to together (OPR-30 to OPR-32).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    time::UNIX_EPOCH,
};

use ferry_control::{read_lineage, shell_word};
use ferry_core::lineage::{LineageRecord, LineageState, record::FILE_BYTES};
use ferry_types::RunId;

pub use ferry_control::{BreakRow, LineageRows};
pub use ferry_core::lineage::{LineageAnswer, LineageVerdict, Sign};

use super::{is_held, open, run_mark::RunMark};
use crate::config::ConfigError;

/// Its name.
const NAME: &str = "lineage";

/// What a data directory tells of where it comes from.
#[derive(Clone, Debug)]
pub struct FoundLineage {
    /// What `control.db` tells.
    pub rows: LineageRows,
    /// The newest record of the file.
    pub record: Option<LineageRecord>,
    /// When the file system says that the file was made.
    pub(crate) born_ns: Option<i64>,
    /// What both come to.
    pub verdict: LineageVerdict,
}

/// Looks at a data directory, and changes nothing.
///
/// # Errors
/// When it cannot be read.
pub fn lineage(dir: &Path) -> Result<FoundLineage, ConfigError> {
    let rows = read_lineage(dir)?;
    let path = dir.join(NAME);
    let failed = |error: io::Error| ConfigError(format!("{}: {error}", path.display()));
    let record = match fs::read(&path) {
        Ok(bytes) => LineageRecord::newest(&bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let born_ns = born_ns(&path).map_err(failed)?;
    let verdict = LineageVerdict::of(&rows.control, record.as_ref(), born_ns);
    // A start that was cut short behind its naming has told what it found. Before the first nobody was served.
    let is_told = record.as_ref().is_some_and(|record| {
        record.state == LineageState::Starting && Some(record.run) == rows.control.newest
    });
    let verdict = if is_told || rows.control.newest.is_none() {
        verdict
    } else {
        verdict.with(RunMark::sign(dir, &rows.runs, rows.control.seq).map_err(failed)?)
    };
    Ok(FoundLineage { rows, record, born_ns, verdict })
}

/// When the file was made; `None`: it is not there, or the file system does not say.
fn born_ns(path: &Path) -> io::Result<Option<i64>> {
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    Ok(born.and_then(|since| i64::try_from(since.as_nanos()).ok()))
}

/// Writes `record` behind the newest one, whose place in the file it does not take, and brings it onto the disk.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_lineage(dir: &Path, record: &LineageRecord) -> io::Result<()> {
    let bytes = record.encode().ok_or_else(|| io::Error::other("the record of a run is too long"))?;
    let file = OpenOptions::new().write(true).open(dir.join(NAME))?;
    file.write_all_at(&bytes, record.offset())?;
    file.sync_data()
}

/// Makes the file if it is not there, and tells when it was made.
///
/// # Errors
/// When it cannot be made.
pub(crate) fn make_lineage(dir: &Path) -> io::Result<Option<i64>> {
    let path = dir.join(NAME);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            file.write_all(&[0; FILE_BYTES])?;
            file.sync_all()?;
            File::open(dir)?.sync_all()?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    born_ns(&path)
}

/// Writes down what the operator says of the data directory of a hub that is stopped; what was found before.
///
/// # Errors
/// When a hub runs on it, there is none, or nothing asks for the answer.
pub fn answer_lineage(dir: &Path, answer: LineageAnswer) -> Result<LineageVerdict, ConfigError> {
    if !dir.join("control.db").exists() {
        let message = "no hub has its data there: name the folder that holds control.db";
        return Err(ConfigError(format!("data_dir {}: {message}", dir.display())));
    }
    if is_held(dir).unwrap_or(false) {
        return Err(ConfigError(format!("data_dir {}: a hub runs on it: stop it first", dir.display())));
    }
    let _lock = open(dir)?;
    let found = lineage(dir)?;
    if answer == LineageAnswer::Moved && !matches!(found.verdict, LineageVerdict::Copied(_)) {
        let message = match found.verdict.sign() {
            Some(sign) => format!("it is an older state, not the hub in another place: {}", sign.as_str()),
            None => "the next start does not ask: it goes on as it is".to_owned(),
        };
        return Err(ConfigError(format!("data_dir {}: {message}", dir.display())));
    }
    let failed = |error: io::Error| ConfigError(format!("{}: {error}", dir.join(NAME).display()));
    let control = &found.rows.control;
    let record = LineageRecord {
        born_ns: make_lineage(dir).map_err(failed)?,
        hub_id: control.hub_id.clone().unwrap_or_default(),
        // No run is 0: a program that named none has served last.
        run: control.newest.unwrap_or(RunId(0)),
        previous: None,
        state: LineageState::Answered,
        answer: Some(answer),
        control_seq: control.seq,
        serial: found.next_serial(),
    };
    write_lineage(dir, &record).map_err(failed)?;
    Ok(found.verdict)
}

impl FoundLineage {
    /// Whether the file system says when the file was made.
    #[must_use]
    pub const fn birth_is_told(&self) -> bool {
        self.born_ns.is_some()
    }

    /// Of the next record.
    pub(crate) fn next_serial(&self) -> u64 {
        self.record.as_ref().map_or(0, |record| record.serial + 1)
    }

    /// What a start goes on with; `answer` is given to the question that a copy asks.
    ///
    /// # Errors
    /// When nobody has answered it.
    pub(crate) fn settled(
        &self,
        dir: &Path,
        answer: Option<LineageAnswer>,
    ) -> Result<LineageVerdict, ConfigError> {
        let verdict = answer.map_or(self.verdict, |answer| self.verdict.answered(answer));
        if let (LineageVerdict::Copied(sign), true) = (self.verdict, verdict != self.verdict) {
            let (sign, is) = (sign.as_str(), verdict.as_str());
            tracing::warn!(sign, is, "the data directory was copied; the setting on_copied says what it is");
        }
        let LineageVerdict::Copied(sign) = verdict else { return Ok(verdict) };
        let place = shell_word(dir);
        Err(ConfigError(format!(
            "data_dir {}: it was copied ({}), and nothing in it tells whether clients have seen more than it holds. If it was \
             moved, and nothing was written anywhere else since: `ferry admin lineage moved --data-dir {place}`. If it is an \
             older state, such as a backup, or if you do not know: `ferry admin lineage restored --data-dir {place}`; \
             clients are then told, send again what they hold, and event stores wait for you. Run either as the user of the hub. \
             The setting on_copied answers for every start",
            dir.display(),
            sign.as_str()
        )))
    }
}
