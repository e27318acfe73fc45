//! Verdicts on who may read a store, remembered for a minute (EVT-59).

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use ferry_protocol::events::RpcError;

/// How long a verdict holds.
const KEEP_MS: u64 = 60_000;
/// Principals remembered per store; beyond, what is over is forgotten, and if that is nothing, all.
const PRINCIPALS_MAX: usize = 10_000;

/// The remembered verdicts of one store, by principal.
#[derive(Default)]
pub(in crate::events) struct Verdicts(Mutex<HashMap<Box<str>, Known>>);

struct Known {
    verdict: Result<(), RpcError>,
    until_ms: u64,
}

impl Verdicts {
    /// What was said of `principal`, if that still holds.
    pub(super) fn known(&self, principal: &str, now_ms: u64) -> Option<Result<(), RpcError>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(principal).filter(|known| known.until_ms > now_ms).map(|known| known.verdict.clone())
    }

    /// Remembers what was said.
    pub(super) fn remember(&self, principal: &str, verdict: Result<(), RpcError>, now_ms: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PRINCIPALS_MAX {
            known.retain(|_, known| known.until_ms > now_ms);
        }
        if known.len() >= PRINCIPALS_MAX {
            known.clear();
        }
        known.insert(principal.into(), Known { verdict, until_ms: now_ms + KEEP_MS });
    }
}

#[cfg(test)]
mod tests {
    use ferry_protocol::events::ErrorCode;

    use super::*;

    // Verifies: EVT-59
    #[test]
    fn a_verdict_holds_for_a_minute_and_for_its_principal() {
        let verdicts = Verdicts::default();
        let no = RpcError::new(ErrorCode::Forbidden, "no");
        verdicts.remember("a", Err(no.clone()), 5);
        verdicts.remember("b", Ok(()), 5);
        assert_eq!(verdicts.known("a", 60_004), Some(Err(no)));
        assert_eq!(verdicts.known("a", 60_005), None);
        assert_eq!(verdicts.known("b", 6), Some(Ok(())));
        assert_eq!(verdicts.known("c", 6), None);
    }
}
