//! Settings of op-log sync.

use super::{ConfigError, Key, Values, keys::key};

/// Its settings.
pub(super) const KEYS: &[Key] = &[
    key(
        "ops.shim_scope",
        "shim|all",
        "Which ops hephd's clients are given: their own wire's, or all [default: shim]",
    ),
    key(
        "ops.shim_page_bytes",
        "BYTES",
        "Bytes of ops after which a pull of hephd's clients may stop early [default: 16777216]",
    ),
    key("ops.shim_body_max_bytes", "BYTES", "Largest push of hephd's clients [default: 268435456]"),
    key(
        "ops.foreign_op_max_bytes",
        "BYTES",
        "Largest foreign op; up to twice that goes to the quarantine [default: 16777216]",
    ),
    key("ops.body_max_bytes", "BYTES", "Largest push under /v1 [default: 20971520]"),
    key("ops.batch_max_ops", "OPS", "Most ops of a push under /v1 [default: 1000]"),
    key("ops.op_max_bytes", "BYTES", "Largest Ferry op [default: 1048576]"),
    key("ops.pull_ops", "OPS", "Ops of a page, unless the request says [default: 500]"),
    key("ops.pull_max_ops", "OPS", "Most ops of a page [default: 5000]"),
    key("ops.pull_bytes", "BYTES", "Bytes of a page, unless the request says [default: 1048576]"),
    key("ops.pull_max_bytes", "BYTES", "Most bytes of a page of several ops [default: 8388608]"),
    key(
        "ops.max_skew_ms",
        "MILLISECONDS",
        "How far an op's clock may be ahead before it waits in quarantine [default: 300000]",
    ),
    key("ops.quarantine_max_ops", "OPS", "Most ops in a database's quarantine [default: 10000]"),
    key("ops.quarantine_max_bytes", "BYTES", "Most bytes in a database's quarantine [default: 67108864]"),
    key("ops.text_max_bytes", "BYTES", "Largest state of a text field [default: 16777216]"),
    key("ops.retain_days", "DAYS", "Days that superseded ops are kept for devices that follow [default: 30]"),
    key(
        "ops.horizon_days",
        "DAYS",
        "Days after which dropped ops and deleted entities are forgotten [default: 180]",
    ),
    key("ops.ping_seconds", "SECONDS", "How often a silent op stream shows that it lives [default: 15]"),
];

/// Largest foreign op that the scanner and the file format can be asked to hold, bytes.
const FOREIGN_OP_CAP_BYTES: usize = 256 << 20;

/// Which ops hephd's clients are given (OPS-06).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShimScope {
    /// Foreign ones, and those that came by their wire.
    Shim,
    /// All.
    All,
}

/// The section `[ops]`, checked.
#[derive(Clone, Copy, Debug)]
pub struct OpsConfig {
    /// Which ops hephd's clients are given.
    pub shim_scope: ShimScope,
    /// Bytes after which a pull of theirs may stop early.
    pub shim_page_bytes: usize,
    /// Largest push of theirs, bytes.
    pub shim_body_max_bytes: u64,
    /// Largest foreign op, bytes; up to twice that is quarantined.
    pub foreign_op_max_bytes: usize,
    /// Largest push under `/v1`, bytes.
    pub body_max_bytes: usize,
    /// Most ops of a push under `/v1`.
    pub batch_max_ops: usize,
    /// Largest Ferry op, bytes.
    pub op_max_bytes: usize,
    /// Ops of a page, unless the request says.
    pub pull_ops: usize,
    /// Most ops of a page.
    pub pull_max_ops: usize,
    /// Bytes of a page, unless the request says.
    pub pull_bytes: usize,
    /// Most bytes of a page that holds more than one op.
    pub pull_max_bytes: usize,
    /// How far an op's clock may be ahead, milliseconds (OPS-10).
    pub max_skew_ms: i64,
    /// Most ops in the quarantine of a database.
    pub quarantine_max_ops: u64,
    /// Most bytes in the quarantine of a database.
    pub quarantine_max_bytes: u64,
    /// Largest state of a text field, bytes.
    pub text_max_bytes: usize,
    /// How long superseded ops are kept, days (OPS-40).
    pub retain_days: u32,
    /// When dropped ops and deleted entities are forgotten, days (OPS-43).
    pub horizon_days: u32,
    /// How often a silent stream shows that it lives, milliseconds.
    pub ping_ms: u64,
}

impl OpsConfig {
    pub(super) fn read(values: &Values, _dev: bool) -> Result<Self, ConfigError> {
        let read = Self {
            shim_scope: values.read("ops.shim_scope", shim_scope)?.unwrap_or(ShimScope::Shim),
            shim_page_bytes: values.number("ops.shim_page_bytes", 16 << 20, 1, 1 << 40)?,
            shim_body_max_bytes: values.number("ops.shim_body_max_bytes", 256 << 20, 1 << 10, 1 << 40)?,
            foreign_op_max_bytes: values.number(
                "ops.foreign_op_max_bytes",
                16 << 20,
                1 << 10,
                FOREIGN_OP_CAP_BYTES,
            )?,
            body_max_bytes: values.number("ops.body_max_bytes", 20 << 20, 1 << 10, 1 << 30)?,
            batch_max_ops: values.number("ops.batch_max_ops", 1_000, 1, 100_000)?,
            op_max_bytes: values.number("ops.op_max_bytes", 1 << 20, 1 << 10, 64 << 20)?,
            pull_ops: values.number("ops.pull_ops", 500, 1, 100_000)?,
            pull_max_ops: values.number("ops.pull_max_ops", 5_000, 1, 100_000)?,
            pull_bytes: values.number("ops.pull_bytes", 1 << 20, 1, 64 << 20)?,
            pull_max_bytes: values.number("ops.pull_max_bytes", 8 << 20, 1, 64 << 20)?,
            max_skew_ms: values.number("ops.max_skew_ms", 300_000, 0, 10 * 365 * 86_400_000)?,
            quarantine_max_ops: values.number("ops.quarantine_max_ops", 10_000, 0, 10_000_000)?,
            quarantine_max_bytes: values.number("ops.quarantine_max_bytes", 64 << 20, 0, 1 << 40)?,
            text_max_bytes: values.number("ops.text_max_bytes", 16 << 20, 1 << 10, 256 << 20)?,
            retain_days: values.number("ops.retain_days", 30, 0, 36_500)?,
            horizon_days: values.number("ops.horizon_days", 180, 0, 36_500)?,
            ping_ms: values.number("ops.ping_seconds", 15, 1, 3_600)? * 1000,
        };
        if read.horizon_days < read.retain_days {
            return Err(ConfigError(format!(
                "ops.horizon_days ({}) is less than ops.retain_days ({}): what is kept cannot be forgotten",
                read.horizon_days, read.retain_days
            )));
        }
        Ok(read)
    }
}

fn shim_scope(text: &str) -> Result<ShimScope, String> {
    match text {
        "shim" => Ok(ShimScope::Shim),
        "all" => Ok(ShimScope::All),
        _ => Err("expected shim or all".to_owned()),
    }
}
