//! Pushes of a connection: one at a time, in order, checked before they come to the writer (EVT-11, EVT-38).

use std::collections::VecDeque;

use ferry_protocol::events::{ErrorCode, Event, PushCall, RequestId, RpcError, exit_empty};

use super::{Connection, WaitingPush};
use crate::events::{
    append::{check_backend, check_batch, check_head},
    interface::{Ahead, FirstEvent, Log, Output},
};

/// Pushes of one connection that wait for their turn; a further one is told to come later.
const PUSHES_WAITING_MAX: usize = 512;
/// Bytes of such pushes.
const PUSHES_WAITING_MAX_BYTES: usize = 8 << 20;

impl Connection {
    pub(super) fn enqueue(&mut self, push: WaitingPush, log: &dyn Log, now_ms: u64) {
        let full = self.waiting.len() == PUSHES_WAITING_MAX
            || self.waiting_bytes + push.bytes > PUSHES_WAITING_MAX_BYTES;
        if full || self.is_draining {
            let message = "too many pushes of this connection wait: send the next one later";
            let error = RpcError::Unknown {
                code: ErrorCode::RateLimited,
                message: message.into(),
                retry_after_ms: Some(1000),
            };
            return self.answer_push(&push.id, &Err(error), now_ms);
        }
        self.waiting_bytes += push.bytes;
        self.waiting.push_back(push);
        self.next_push(log, now_ms);
    }

    /// Takes the pushes that wait, in order (EVT-38), until one is with the writer.
    fn next_push(&mut self, log: &dyn Log, now_ms: u64) {
        while self.appending.is_none() {
            let Some(WaitingPush { id, call, bytes }) = self.waiting.pop_front() else { break };
            self.waiting_bytes -= bytes;
            match self.check_push(&call, log) {
                Ok(()) if call.batch.is_empty() => self.answer_push(&id, &Ok(()), now_ms),
                Ok(()) => {
                    if self.client_id.is_none() {
                        self.client_id = call.batch.first().map(|first| first.client_id.clone());
                    }
                    self.appending = Some((id, call.batch.last().map_or(0, |event| event.seq_num)));
                    self.out.push_back(Output::Append(call));
                }
                Err(error) => {
                    self.note_refusal(call, &error);
                    self.answer_push(&id, &Err(error), now_ms);
                }
            }
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }

    /// Tells people of a push that did not come to the writer, and whether it shows that events are missing.
    fn note_refusal(&mut self, call: PushCall, error: &RpcError) {
        let (Some(first), Some(last)) = (FirstEvent::of(&call.batch), call.batch.last()) else { return };
        let last = last.seq_num;
        self.client_id = Some(first.client_id.clone());
        match error {
            // Being late is no trouble: the client rebases and comes again.
            RpcError::ServerAhead { .. } => {
                self.refused_upto = self.refused_upto.max(last);
                return;
            }
            RpcError::Unknown { code: ErrorCode::ClientAhead, .. } => {
                if let (Some(event), Some(backend_id)) = (call.batch.first(), call.backend_id) {
                    let is_pending = event.parent_seq_num <= self.refused_upto;
                    self.ahead(event.parent_seq_num, backend_id, "push", !is_pending);
                }
            }
            _ => self.refused_upto = self.refused_upto.max(last),
        }
        self.out.push_back(Output::Refused(first, error.clone()));
    }

    /// The client names the event `at`, which is not here. `is_held`: it holds it, as far as is known.
    pub(super) fn ahead(&mut self, at: i64, backend_id: Box<str>, call: &'static str, is_held: bool) {
        let is_evidence = is_held && self.rights.write.is_ok();
        let client_id = self.client_id.clone();
        self.out.push_back(Output::Ahead(Ahead { at, backend_id, client_id, call, is_evidence }));
    }

    /// The checks before the writer, in the order of EVT-11.
    fn check_push(&self, call: &PushCall, log: &dyn Log) -> Result<(), RpcError> {
        self.check_store(&call.store_id, log)?;
        self.rights.write.clone()?;
        let position = log.position();
        check_backend(call.backend_id.as_deref(), &position.backend_id)?;
        check_batch(&call.batch, self.limits.push_events)?;
        call.batch.first().map_or(Ok(()), |first: &Event| check_head(first.parent_seq_num, position.head))
    }

    /// Takes in what became of an [`Output::Append`]. The events are published by then: the pusher's own Chunk goes
    /// before its Exit (EVT-06).
    pub fn appended(&mut self, outcome: &Result<(), RpcError>, log: &dyn Log, now_ms: u64) {
        let Some((id, last)) = self.appending.take() else { return };
        if outcome.is_err() {
            self.refused_upto = self.refused_upto.max(last);
        }
        while self.pump(log, now_ms) {}
        self.answer_push(&id, outcome, now_ms);
        self.next_push(log, now_ms);
    }

    pub(super) fn answer_push(&mut self, id: &RequestId, outcome: &Result<(), RpcError>, now_ms: u64) {
        if matches!(outcome, Err(RpcError::ServerAhead { .. })) && self.live_pulls() == 0 {
            self.ahead_ms.get_or_insert(now_ms);
        }
        let word = outcome.as_ref().err().map_or("ok", RpcError::word);
        match outcome {
            Ok(()) => self.out.push_back(Output::Send(exit_empty(id))),
            Err(error) => self.fail(id, error),
        }
        self.out.push_back(Output::Pushed(id.clone(), word));
    }
}
