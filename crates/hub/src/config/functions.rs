//! Settings of functions.

use super::{ConfigError, Key, Values, keys::key};

/// Its settings.
pub(super) const KEYS: &[Key] = &[
    key("functions.cpu_ms", "MILLISECONDS", "CPU that a call may use, SQL included [default: 1000]"),
    key("functions.wall_ms", "MILLISECONDS", "How long a call may run, waiting included [default: 30000]"),
    key(
        "functions.hold_ms",
        "MILLISECONDS",
        "How long a call may wait while it holds the database for writing [default: 1000]",
    ),
    key(
        "functions.migration_ms",
        "MILLISECONDS",
        "How long the migrations of a deployment may run; other writes of the database wait for them [default: 600000]",
    ),
    key(
        "functions.isolation",
        "none|process",
        "Where functions run: in the hub's own process, or in processes of their own, so that what brings down the JavaScript engine leaves the hub alone [default: none]",
    ),
    key(
        "functions.processes",
        "PROCESSES",
        "With isolation = process: processes of the whole hub at once; a database has a quarter of them at most [default: 64]",
    ),
    key("functions.heap_bytes", "BYTES", "JavaScript heap of a call [default: 67108864]"),
    key("functions.stack_bytes", "BYTES", "JavaScript stack of a call [default: 524288]"),
    key("functions.body_max_bytes", "BYTES", "Largest body of a call [default: 4194304]"),
    key("functions.result_max_bytes", "BYTES", "Largest result of a call, JSON [default: 8388608]"),
    key("functions.max_statements", "STATEMENTS", "SQL statements of a call [default: 10000]"),
    key(
        "functions.max_rows",
        "ROWS",
        "Rows that the statements of a call may step through [default: 1000000]",
    ),
    key("functions.fetches", "REQUESTS", "fetch() calls of a call [default: 20]"),
    key("functions.fetch_ms", "MILLISECONDS", "How long one fetch() may take [default: 10000]"),
    key("functions.fetch_max_bytes", "BYTES", "Largest answer of a fetch() [default: 5242880]"),
    key(
        "functions.fetch_allow",
        "HOSTS",
        "Hosts that fetch() may reach though they are not public, separated by commas, with a port if it is meant",
    ),
    key(
        "functions.waiting_calls",
        "CALLS",
        "Calls of a database at once; half of them may wait [default: 256]",
    ),
    key("functions.contexts", "CONTEXTS", "Calls of a database that run at once [default: 32]"),
    key(
        "functions.context_calls",
        "CALLS",
        "Calls that a context serves before it is renewed [default: 1000]",
    ),
    key("functions.cache_bytes", "BYTES", "Memory for results of the whole hub [default: 67108864]"),
    key(
        "functions.log_bytes",
        "BYTES",
        "Memory for console lines and failures of functions, of the whole hub [default: 16777216]",
    ),
    key("functions.bundle_max_bytes", "BYTES", "Largest bundle of a deployment [default: 8388608]"),
    key("functions.subscriptions", "RESULTS", "Results that a session keeps fresh [default: 500]"),
    key("functions.sockets", "SOCKETS", "Sockets of a session [default: 8]"),
];

/// Where functions run (FUN-19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In the hub's own process.
    None,
    /// In processes of their own.
    Process,
}

/// The section `[functions]`, checked.
#[derive(Clone, Debug)]
pub struct FunctionsConfig {
    /// CPU of a call, milliseconds.
    pub cpu_ms: u64,
    /// Time of a call, milliseconds.
    pub wall_ms: u64,
    /// Time that a call may wait while it holds the writer, milliseconds.
    pub hold_ms: u64,
    /// Time of the migrations of a deployment, milliseconds.
    pub migration_ms: u64,
    /// Where functions run.
    pub isolation: Isolation,
    /// Processes of functions at once, of the whole hub.
    pub processes: usize,
    /// Heap, bytes.
    pub heap_bytes: usize,
    /// Stack, bytes.
    pub stack_bytes: usize,
    /// Largest body, bytes.
    pub body_max_bytes: usize,
    /// Largest result, bytes.
    pub result_max_bytes: usize,
    /// Statements of a call.
    pub max_statements: u64,
    /// Rows that a call steps through.
    pub max_rows: u64,
    /// `fetch` calls of a call.
    pub fetches: u32,
    /// Time of one, milliseconds.
    pub fetch_ms: u64,
    /// Largest answer of one, bytes.
    pub fetch_max_bytes: usize,
    /// Hosts, in lower case and with a port where one is meant, that `fetch` may reach whatever their address.
    pub fetch_allow: Vec<String>,
    /// Calls of a database at once; half of them may wait.
    pub waiting_calls: usize,
    /// Calls of a database that run at once.
    pub contexts: usize,
    /// Calls of a context.
    pub context_calls: u32,
    /// Memory for results, bytes.
    pub cache_bytes: usize,
    /// Memory for console lines, bytes.
    pub log_bytes: usize,
    /// Largest bundle, bytes.
    pub bundle_max_bytes: usize,
    /// Subscriptions of a session.
    pub subscriptions: usize,
    /// Sockets of a session.
    pub sockets: usize,
}

impl FunctionsConfig {
    pub(super) fn read(values: &Values, _dev: bool) -> Result<Self, ConfigError> {
        Ok(Self {
            cpu_ms: values.number("functions.cpu_ms", 1_000, 1, 600_000)?,
            wall_ms: values.number("functions.wall_ms", 30_000, 1, 3_600_000)?,
            migration_ms: values.number("functions.migration_ms", 600_000, 100, 24 * 3_600_000)?,
            hold_ms: values.number("functions.hold_ms", 1_000, 0, 60_000)?,
            isolation: values.read("functions.isolation", isolation)?.unwrap_or(Isolation::None),
            processes: values.number("functions.processes", 64, 4, 10_000)?,
            heap_bytes: values.number("functions.heap_bytes", 64 << 20, 4 << 20, 4 << 30)?,
            stack_bytes: values.number("functions.stack_bytes", 512 << 10, 64 << 10, 1 << 20)?,
            body_max_bytes: values.number("functions.body_max_bytes", 4 << 20, 1 << 10, 256 << 20)?,
            result_max_bytes: values.number("functions.result_max_bytes", 8 << 20, 1 << 10, 256 << 20)?,
            max_statements: values.number("functions.max_statements", 10_000, 1, u64::MAX)?,
            max_rows: values.number("functions.max_rows", 1_000_000, 1, u64::MAX)?,
            fetches: values.number("functions.fetches", 20, 0, 10_000)?,
            fetch_ms: values.number("functions.fetch_ms", 10_000, 1, 600_000)?,
            fetch_max_bytes: values.number("functions.fetch_max_bytes", 5 << 20, 1, 256 << 20)?,
            fetch_allow: values.list("functions.fetch_allow", |host| Ok(host.to_ascii_lowercase()))?,
            waiting_calls: values.number("functions.waiting_calls", 256, 1, 100_000)?,
            contexts: values.number("functions.contexts", 32, 1, 1_000)?,
            context_calls: values.number("functions.context_calls", 1_000, 1, u32::MAX)?,
            cache_bytes: values.number("functions.cache_bytes", 64 << 20, 0, 16 << 30)?,
            log_bytes: values.number("functions.log_bytes", 16 << 20, 0, 16 << 30)?,
            bundle_max_bytes: values.number("functions.bundle_max_bytes", 8 << 20, 1 << 10, 64 << 20)?,
            subscriptions: values.number("functions.subscriptions", 500, 1, 100_000)?,
            sockets: values.number("functions.sockets", 8, 1, 1_000)?,
        })
    }
}

fn isolation(text: &str) -> Result<Isolation, String> {
    match text {
        "none" => Ok(Isolation::None),
        "process" => Ok(Isolation::Process),
        _ => Err("expected none or process".to_owned()),
    }
}
