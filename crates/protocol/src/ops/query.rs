//! Parameters of a pull (section 2.2), as pairs: percent-encoding is the caller's.

use std::borrow::Cow;

use ferry_types::OpSeq;

use super::{BadOpsMessage, Skip};

/// Ops of a page, unless asked otherwise.
pub const PULL_LIMIT: u32 = 500;
/// Most ops of a page.
pub const PULL_LIMIT_MAX: u32 = 5_000;
/// Bytes of a page, unless asked otherwise.
pub const PULL_BYTES: usize = 1 << 20;
/// Most bytes of a page; an op that is longer comes alone.
pub const PULL_BYTES_MAX: usize = 8 << 20;

/// Where a puller stands, and how much it wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullQuery {
    /// The last number it has seen.
    pub after_seq: OpSeq,
    /// The id of the op with that number.
    pub after_id: Option<String>,
    /// The stamp that the log gave that op; empty: none is known, and the answer shall tell the next one.
    pub after_stamp: Option<String>,
    /// Most ops of the page.
    pub limit: u32,
    /// Most bytes of the page.
    pub bytes: usize,
    /// What it holds already.
    pub skip: Skip,
    /// The log it believes to meet.
    pub hub_id: Option<String>,
    /// Its epoch.
    pub epoch: Option<String>,
}

impl Default for PullQuery {
    fn default() -> Self {
        Self {
            after_seq: OpSeq(0),
            after_id: None,
            after_stamp: None,
            limit: PULL_LIMIT,
            bytes: PULL_BYTES,
            skip: Skip::default(),
            hub_id: None,
            epoch: None,
        }
    }
}

impl PullQuery {
    /// Reads decoded pairs; others are left to whom they concern. Of several of one name, the first counts.
    ///
    /// # Errors
    /// Which parameter is wrong.
    pub fn read<'a>(
        pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
    ) -> Result<Self, BadOpsMessage> {
        let mut found: [Option<Cow<'a, str>>; NAMES.len()] = Default::default();
        for (name, value) in pairs {
            if let Some(at) = NAMES.iter().position(|known| *known == name) {
                found[at].get_or_insert(value);
            }
        }
        let [after_seq, after_id, after_stamp, limit, bytes, skip, hub_id, epoch] = found;
        let text = |value: Option<Cow<'a, str>>| value.filter(|value| !value.is_empty()).map(Cow::into_owned);
        let after_seq = after_seq.map(|value| read_number("after_seq", &value, 0, SEQ_MAX)).transpose()?;
        let limit = limit.map(|value| read_number("limit", &value, 1, PULL_LIMIT_MAX.into())).transpose()?;
        let bytes = bytes.map(|value| read_number("bytes", &value, 1, PULL_BYTES_MAX as u64)).transpose()?;
        let skip = skip.map(|value| value.parse()).transpose();
        Ok(Self {
            after_seq: OpSeq(after_seq.unwrap_or(0)),
            after_id: text(after_id),
            after_stamp: after_stamp.map(Cow::into_owned),
            limit: limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(PULL_LIMIT),
            bytes: bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(PULL_BYTES),
            skip: skip.map_err(|error: super::BadSkip| BadOpsMessage(error.to_string()))?.unwrap_or_default(),
            hub_id: text(hub_id),
            epoch: text(epoch),
        })
    }

    /// The pairs to be encoded into a query.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("after_seq", self.after_seq.0.to_string())];
        let text = |name, value: &Option<String>| value.clone().map(|value| (name, value));
        pairs.extend(text("after_id", &self.after_id));
        pairs.extend(text("after_stamp", &self.after_stamp));
        if self.limit != PULL_LIMIT {
            pairs.push(("limit", self.limit.to_string()));
        }
        if self.bytes != PULL_BYTES {
            pairs.push(("bytes", self.bytes.to_string()));
        }
        if !self.skip.is_empty() {
            pairs.push(("skip", self.skip.to_string()));
        }
        pairs.extend(text("hub_id", &self.hub_id));
        pairs.extend(text("epoch", &self.epoch));
        pairs
    }
}

const NAMES: [&str; 8] =
    ["after_seq", "after_id", "after_stamp", "limit", "bytes", "skip", "hub_id", "epoch"];

/// Storage has signed numbers.
const SEQ_MAX: u64 = i64::MAX as u64;

/// Reads a parameter that is a number.
///
/// # Errors
/// Names it and its bounds.
pub fn read_number(name: &str, value: &str, least: u64, most: u64) -> Result<u64, BadOpsMessage> {
    let number = if value.bytes().all(|b| b.is_ascii_digit()) { value.parse().ok() } else { None };
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| BadOpsMessage(format!("{name} must be a whole number from {least} to {most}")))
}
