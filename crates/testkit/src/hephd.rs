//! A client of op-log sync that follows hephd's loop to the letter: it pulls behind its cursor, sorts by the clock's text,
//! applies, takes the greatest clock of the batch as its cursor, and pushes its whole tail in one body, ops of others
//! included. It reads no error body and splits nothing.

use std::{collections::BTreeSet, net::SocketAddr};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http::{self, Response};

/// What becomes of the cursor when a batch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CursorRule {
    /// The greatest clock of the batch takes its place.
    Replaced,
    /// Only if it is greater.
    OnlyIfGreater,
}

/// How much is pushed at each exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Ops whose clock is greater than that of the last push.
    SinceLastPush,
    /// Everything, as after a change of the hub's URL.
    Everything,
}

/// What an exchange came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exchange {
    /// Ops that were pulled.
    pub pulled: usize,
    /// Of these, new ones.
    pub applied: usize,
    /// Ops that were pushed.
    pub pushed: usize,
    /// Of these, how many the hub took as new.
    pub taken: u64,
}

/// One client and its store.
#[derive(Clone)]
pub struct HephdClient {
    address: SocketAddr,
    /// What stands before `/sync/push`.
    base: String,
    authorization: String,
    rule: CursorRule,
    /// How much it pushes.
    pub tail: Tail,
    /// The greatest clock of the last batch, as the rule has it.
    pub cursor: String,
    pushed_upto: String,
    /// Ops by clock and text.
    ops: BTreeSet<(String, String)>,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    ops: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Clock {
    hlc: String,
}

/// The ops of a body `{"ops":[…]}`, each its text.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn ops_of(body: &[u8]) -> Vec<String> {
    let body: Body<'_> = serde_json::from_slice(body).unwrap_or_else(|error| {
        panic!("{error} in {:?}", String::from_utf8_lossy(&body[..body.len().min(500)]))
    });
    body.ops.into_iter().map(|op| op.get().to_owned()).collect()
}

/// A body with these ops.
#[must_use]
pub fn body_of(ops: &[String]) -> String {
    format!("{{\"ops\":[{}]}}", ops.join(","))
}

impl HephdClient {
    /// A client with an empty store. `base` stands before `/sync/push`; `token` goes as the password of Basic.
    #[must_use]
    pub fn new(address: SocketAddr, base: &str, token: &str, rule: CursorRule) -> Self {
        use base64::Engine as _;
        let userinfo = base64::engine::general_purpose::STANDARD.encode(format!("x:{token}"));
        Self {
            address,
            base: base.to_owned(),
            authorization: format!("Basic {userinfo}"),
            rule,
            tail: Tail::SinceLastPush,
            cursor: String::new(),
            pushed_upto: String::new(),
            ops: BTreeSet::new(),
        }
    }

    /// The same store, of a hub that has moved.
    #[must_use]
    pub fn at(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Writes an op into its own store.
    pub fn write(&mut self, op: &str) {
        self.ops.insert((clock(op), op.to_owned()));
    }

    /// All its ops in the order of their clocks, each its text.
    #[must_use]
    pub fn ops(&self) -> Vec<String> {
        self.ops.iter().map(|(_, text)| text.clone()).collect()
    }

    /// One exchange.
    ///
    /// # Errors
    /// The answer that aborted it.
    ///
    /// # Panics
    /// If the hub cannot be reached.
    pub fn sync(&mut self) -> Result<Exchange, Response> {
        let mut done = Exchange::default();
        let answer = self.pull();
        if answer.status != 200 {
            return Err(answer);
        }
        let mut batch: Vec<(String, String)> =
            ops_of(&answer.body).into_iter().map(|op| (clock(&op), op)).collect();
        batch.sort();
        done.pulled = batch.len();
        let greatest = batch.last().map(|(clock, _)| clock.clone());
        for op in batch {
            done.applied += usize::from(self.ops.insert(op));
        }
        if let Some(greatest) = greatest
            && (self.rule == CursorRule::Replaced || greatest > self.cursor)
        {
            self.cursor = greatest;
        }
        let is_due = |clock: &str| self.tail == Tail::Everything || *clock > *self.pushed_upto;
        let tail: Vec<String> =
            self.ops.iter().filter(|(clock, _)| is_due(clock)).map(|(_, op)| op.clone()).collect();
        if tail.is_empty() {
            return Ok(done);
        }
        let answer = self.push(&body_of(&tail));
        if answer.status != 200 {
            return Err(answer);
        }
        done.pushed = tail.len();
        done.taken = answer.json()["applied"].as_u64().expect("a number");
        if let Some((last, _)) = self.ops.last() {
            self.pushed_upto = last.clone();
        }
        Ok(done)
    }

    /// Exchanges until nothing new comes; at most so many times.
    ///
    /// # Panics
    /// If an exchange is refused, or it never ends.
    pub fn sync_until_quiet(&mut self, most: usize) {
        for _ in 0..most {
            let before = self.cursor.clone();
            let done = self.sync().unwrap_or_else(|refused| panic!("{} {}", refused.status, refused.text()));
            // Then the next exchange would be the same.
            if done.applied == 0 && done.taken == 0 && self.cursor == before {
                return;
            }
        }
        panic!("new ops still came after {most} exchanges");
    }

    /// A pull behind its cursor, as it is.
    ///
    /// # Panics
    /// If the hub cannot be reached.
    #[must_use]
    pub fn pull(&self) -> Response {
        let after: String = form_urlencoded::byte_serialize(self.cursor.as_bytes()).collect();
        let path = format!("{}/sync/pull?after={after}", self.base);
        let headers = [("Authorization", &*self.authorization)];
        http::send(self.address, "GET", &path, &headers, b"").expect("the hub answers a pull")
    }

    /// A push of this body, as it is.
    ///
    /// # Panics
    /// If the hub cannot be reached.
    #[must_use]
    pub fn push(&self, body: &str) -> Response {
        let headers = [("Authorization", &*self.authorization), ("Content-Type", "application/json")];
        http::send(self.address, "POST", &format!("{}/sync/push", self.base), &headers, body.as_bytes())
            .expect("the hub answers a push")
    }
}

/// The clock of an op.
fn clock(op: &str) -> String {
    let read: Clock = serde_json::from_str(op).unwrap_or_else(|error| panic!("{error} in {op}"));
    read.hlc
}
