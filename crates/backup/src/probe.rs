//! Whether a target can do what backups need of it, tried with an object that goes again (OPR-06).

use crate::{BackupTarget, Error, Result};

/// Where the object lies that is tried with.
const FOLDER: &str = "probe";
/// What it holds.
const CONTENT: &[u8] = b"ferry tries whether this can be written, read and removed";

/// What was tried, and how it went.
#[derive(Debug)]
pub struct TargetCheck {
    /// `write`, `create-only`, `read`, `list`, `compare-and-swap` or `delete`.
    pub name: &'static str,
    /// How it went.
    pub outcome: TargetCheckOutcome,
}

/// How a check went.
#[derive(Debug)]
pub enum TargetCheckOutcome {
    /// As it should.
    Ok,
    /// Backups work without it: what that means.
    Lacking(String),
    /// Backups do not work.
    Failed(Error),
}

impl TargetCheck {
    /// Why backups do not work there.
    #[must_use]
    pub fn failed(self) -> Option<Error> {
        match self.outcome {
            TargetCheckOutcome::Failed(error) => Some(error),
            TargetCheckOutcome::Ok | TargetCheckOutcome::Lacking(_) => None,
        }
    }
}

/// Tries all that backups need of a target. It ends with the first that fails, but the object is removed.
///
/// # Errors
/// When the machine gives no randomness.
pub fn check_target(target: &dyn BackupTarget) -> Result<Vec<TargetCheck>> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)
        .map_err(|error| Error::Invalid(format!("the machine gives no randomness: {error}")))?;
    let path = format!("{FOLDER}/{}", hex::encode(random));
    let mut checks = Vec::new();
    for (name, check) in CHECKS {
        let outcome = check(target, &path).unwrap_or_else(TargetCheckOutcome::Failed);
        let is_over = matches!(outcome, TargetCheckOutcome::Failed(_));
        checks.push(TargetCheck { name, outcome });
        if is_over {
            break;
        }
    }
    let removed = target.delete(&path);
    if checks.len() == CHECKS.len() {
        let is_gone = removed.and_then(|()| target.get(&path, CONTENT.len()));
        let outcome = match is_gone {
            Ok(None) => TargetCheckOutcome::Ok,
            Ok(Some(_)) => wrong(target, "what was removed is still there"),
            Err(error) => TargetCheckOutcome::Failed(error),
        };
        checks.push(TargetCheck { name: "delete", outcome });
    }
    Ok(checks)
}

type Check = fn(&dyn BackupTarget, &str) -> Result<TargetCheckOutcome>;

const CHECKS: [(&str, Check); 5] = [
    ("write", write),
    ("create-only", create_only),
    ("read", read),
    ("list", list),
    ("compare-and-swap", compare_and_swap),
];

fn wrong(target: &dyn BackupTarget, what: &str) -> TargetCheckOutcome {
    TargetCheckOutcome::Failed(Error::Refused(format!("{}: {what}", target.url())))
}

fn write(target: &dyn BackupTarget, path: &str) -> Result<TargetCheckOutcome> {
    let is_new = target.put_new(path, CONTENT)?;
    Ok(if is_new {
        TargetCheckOutcome::Ok
    } else {
        wrong(target, "it says that a new object is there already")
    })
}

fn create_only(target: &dyn BackupTarget, path: &str) -> Result<TargetCheckOutcome> {
    if !target.put_new(path, CONTENT)? && target.creates_once() {
        return Ok(TargetCheckOutcome::Ok);
    }
    Ok(TargetCheckOutcome::Lacking(
        "the target does not keep an object from being made twice (If-None-Match): names of objects do not repeat all the same".to_owned(),
    ))
}

fn read(target: &dyn BackupTarget, path: &str) -> Result<TargetCheckOutcome> {
    let is_whole = target.get(path, CONTENT.len())?.is_some_and(|there| there == CONTENT);
    let is_part = target.get_range(path, 6, 5)? == CONTENT[6..11];
    Ok(if is_whole && is_part {
        TargetCheckOutcome::Ok
    } else {
        wrong(target, "what is read is not what was written")
    })
}

fn list(target: &dyn BackupTarget, path: &str) -> Result<TargetCheckOutcome> {
    let listed = target.list(FOLDER)?;
    let is_there = listed.iter().any(|object| object.path == path && object.bytes == CONTENT.len() as u64);
    Ok(if is_there { TargetCheckOutcome::Ok } else { wrong(target, "what was written is not in its list") })
}

fn compare_and_swap(target: &dyn BackupTarget, path: &str) -> Result<TargetCheckOutcome> {
    if target.swaps(path)? {
        return Ok(TargetCheckOutcome::Ok);
    }
    Ok(TargetCheckOutcome::Lacking(
        "not offered (If-Match, or locks of a folder): backups do not need it".to_owned(),
    ))
}
