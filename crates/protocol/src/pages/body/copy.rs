//! What the frame of a COPY entry holds: runs of targets, and where in the base their content is.

use ferry_types::PageNo;

use super::{
    COPY_MAX_BYTES, RUNS_MAX,
    error::BodyViolation,
    runs::{distance, run},
    varint::{FieldReader, Stop, put, put_zigzag},
};

/// Neighbouring targets that equal neighbouring pages of the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyRun {
    /// The first page of the new image.
    pub target: PageNo,
    /// The first page of the base.
    pub source: PageNo,
    /// How many, at least 1.
    pub length: u32,
}

impl CopyRun {
    /// Its pages: target, source.
    pub fn pairs(self) -> impl Iterator<Item = (PageNo, PageNo)> + Clone {
        let pair = move |n| Some((PageNo::new(self.target.get() + n)?, PageNo::new(self.source.get() + n)?));
        (0..self.length).filter_map(pair)
    }
}

/// The content of a COPY entry, to be compressed.
#[must_use]
pub fn encode_copy(runs: &[CopyRun]) -> Vec<u8> {
    let mut content = Vec::new();
    put(&mut content, runs.len() as u64);
    let (mut target_end, mut source_end) = (0, 0);
    for run in runs {
        let (target, source) = (u64::from(run.target.get()), u64::from(run.source.get()));
        put_zigzag(&mut content, distance(target_end, target));
        put(&mut content, u64::from(run.length - 1));
        put_zigzag(&mut content, distance(source_end, source));
        target_end = target + u64::from(run.length);
        source_end = source + u64::from(run.length);
    }
    content
}

/// The runs in the decompressed content of a COPY entry.
///
/// # Errors
/// The rule that it breaks.
pub fn decode_copy(content: &[u8]) -> Result<Vec<CopyRun>, BodyViolation> {
    if content.len() > COPY_MAX_BYTES {
        return Err(BodyViolation::TooMany("runs"));
    }
    let mut reader = FieldReader::new(content);
    let runs = decode(&mut reader).map_err(|stop| match stop {
        Stop::Short(_) => BodyViolation::Frame("of COPY ends within a run"),
        Stop::Fault(_, fault) => fault,
    })?;
    if reader.is_at_end() { Ok(runs) } else { Err(BodyViolation::Frame("of COPY goes on after its runs")) }
}

fn decode(reader: &mut FieldReader<'_>) -> Result<Vec<CopyRun>, Stop> {
    let count = reader.varint()?;
    if count > u64::from(RUNS_MAX) {
        return Err(Stop::Fault(0, BodyViolation::TooMany("runs")));
    }
    let mut runs = Vec::new();
    let (mut target_end, mut source_end) = (0, 0);
    for _ in 0..count {
        let at = reader.at();
        let (target, length, source) = (reader.zigzag()?, reader.varint()?, reader.zigzag()?);
        let fault = |fault| Stop::Fault(at, fault);
        let target = run(target_end, target, length).map_err(fault)?;
        let source = run(source_end, source, length).map_err(fault)?;
        (target_end, source_end) = (target.end(), source.end());
        runs.push(CopyRun { target: target.first, source: source.first, length: target.length });
    }
    Ok(runs)
}
