//! One event as it travels and as it is stored.

/// Largest `seqNum`: 2^53 − 1, the largest integer that JavaScript counts exactly.
pub const SEQ_NUM_MAX: i64 = (1 << 53) - 1;

/// An event that a client pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number.
    pub seq_num: i64,
    /// Number of the event before it; 0: it is the first.
    pub parent_seq_num: i64,
    /// Name of its type.
    pub name: Box<str>,
    /// JSON text exactly as sent; `None`: the key was absent.
    pub args: Option<Box<str>>,
    /// Which client made it.
    pub client_id: Box<str>,
    /// Which session of the client.
    pub session_id: Box<str>,
}

/// A borrowed event with the time of its commit, as it is encoded.
#[derive(Clone, Copy, Debug)]
pub struct EventRef<'a> {
    /// Its number.
    pub seq_num: i64,
    /// Number of the event before it.
    pub parent_seq_num: i64,
    /// Name of its type.
    pub name: &'a str,
    /// JSON text, or absent.
    pub args: Option<&'a str>,
    /// Which client made it.
    pub client_id: &'a str,
    /// Which session of the client.
    pub session_id: &'a str,
    /// When it was committed: RFC 3339, UTC, milliseconds.
    pub created_at: &'a str,
}

impl Event {
    /// The event as committed at `created_at`.
    #[must_use]
    pub fn committed<'a>(&'a self, created_at: &'a str) -> EventRef<'a> {
        EventRef {
            seq_num: self.seq_num,
            parent_seq_num: self.parent_seq_num,
            name: &self.name,
            args: self.args.as_deref(),
            client_id: &self.client_id,
            session_id: &self.session_id,
            created_at,
        }
    }
}
