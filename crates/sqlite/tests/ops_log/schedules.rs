//! Clients that follow hephd's loop to the letter get every op, whatever the schedule (scenario 1).

use std::collections::BTreeSet;

use ferry_core::ops::epoch::begin_epoch;
use ferry_protocol::ops::{EpochPolicy, OpBody, parse_op};

use super::*;

/// Numbers that look random and are the same in every run (xorshift64*, S. Vigna 2016).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }
}

struct Client {
    cursor: String,
    held: BTreeSet<String>,
    /// Its cursor only grows.
    keeps_greatest: bool,
    page_bytes: u64,
}

impl Client {
    /// One exchange: pulls, stores the greatest HLC of the batch, pushes its whole tail.
    fn exchange(&mut self, log: &Log) {
        let body = log.shim_pull(&self.cursor, self.page_bytes, 64);
        let read: serde_json::Value = serde_json::from_str(&body).unwrap();
        let mut greatest = String::new();
        for op in read["ops"].as_array().unwrap() {
            let raw = op.to_string();
            match parse_op(&raw).unwrap().body {
                OpBody::Foreign { hlc } => greatest = greatest.max(hlc),
                OpBody::Ferry(_) => panic!("an op of Ferry's shape: {raw}"),
            }
            self.held.insert(raw);
        }
        if !greatest.is_empty() && (!self.keeps_greatest || greatest > self.cursor) {
            self.cursor = greatest;
        }
        let tail: Vec<&str> = self.held.iter().map(String::as_str).collect();
        log.shim(&tail);
    }
}

// Verifies: OPS-01, OPS-05
#[test]
fn every_client_ends_with_every_op_in_finite_polls() {
    let log = Log::new();
    for seed in 1..=1_000_u64 {
        begin_epoch(&log.sql(), EPOCH, EpochPolicy::Discard).unwrap();
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut clients: Vec<Client> = (0..2 + dice.below(2))
            .map(|_| Client {
                cursor: String::new(),
                held: BTreeSet::new(),
                keeps_greatest: dice.below(2) == 0,
                page_bytes: [1, 60, 200, u64::MAX][usize::try_from(dice.below(4)).unwrap()],
            })
            .collect();
        let mut all = BTreeSet::new();
        for step in 0..10 + dice.below(15) {
            let who = usize::try_from(dice.below(clients.len() as u64)).unwrap();
            if dice.below(2) == 0 {
                // Clocks run apart, and some are equal.
                let op = format!("{{\"hlc\":\"{:03}-{who}\",\"n\":{step}}}", dice.below(30));
                all.insert(op.clone());
                clients[who].held.insert(op);
            } else {
                clients[who].exchange(&log);
            }
        }
        for round in 0.. {
            clients.iter_mut().for_each(|client| client.exchange(&log));
            if clients.iter().all(|client| client.held == all) {
                break;
            }
            assert!(round < 200, "seed {seed}: a client lacks an op after {round} rounds");
        }
    }
}
