//! The database of a call, in the child: each question is a message to the hub.

use std::{io, time::Duration};

use ferry_core::sql::Value;
use serde::Deserialize as _;

use super::{
    channel::{Channel, FrameKind, decode},
    messages::{DbAnswer, DbAsk, FromWorker, RowMessage, Sent, ToWorker, ValueMessage},
};
use crate::{
    cpu::CpuMeter,
    db::{DbFailure, Executed, FunctionDb, ModelCall, RowSink, SavepointStep},
};

/// CPU between two questions whether the call may go on.
const GO_ON_EVERY: Duration = Duration::from_millis(5);

/// CPU after which a call runs for long: others come first.
const LONG: Duration = Duration::from_millis(10);

/// The database at the other end.
pub(super) struct WorkerDb<'a> {
    pub(super) channel: &'a mut Channel,
    pub(super) cpu: CpuMeter,
    /// CPU of the call when the hub was last asked whether it may go on.
    pub(super) asked_at: Duration,
    /// Why there is no other end any more.
    pub(super) broken: Option<io::Error>,
}

impl WorkerDb<'_> {
    /// Asks, and gives what `answer` makes of what comes.
    fn ask<T>(
        &mut self,
        question: DbAsk<'_>,
        rows: &mut dyn RowSink,
        answer: impl FnOnce(DbAnswer<'_>) -> Result<T, DbFailure>,
    ) -> Result<T, DbFailure> {
        match self.exchange(question, rows, answer) {
            Ok(answer) => answer,
            Err(error) => {
                self.broken = Some(error);
                Err(DbFailure::Abort)
            }
        }
    }

    fn exchange<T>(
        &mut self,
        question: DbAsk<'_>,
        rows: &mut dyn RowSink,
        answer: impl FnOnce(DbAnswer<'_>) -> Result<T, DbFailure>,
    ) -> io::Result<Result<T, DbFailure>> {
        if self.broken.is_some() {
            return Ok(Err(DbFailure::Abort));
        }
        self.channel.send(self.cpu.own_us(), &FromWorker::Ask(question))?;
        let mut columns = 0;
        let frame = loop {
            let frame = self.channel.receive(|| Ok(()))?;
            match frame.kind {
                FrameKind::Message => break frame,
                FrameKind::Columns => {
                    let names: Vec<&str> = decode(frame.content())?;
                    columns = names.len();
                    rows.columns(&names);
                }
                FrameKind::Rows => take_rows(frame.content(), columns, rows)?,
            }
            self.channel.give_back(frame);
        };
        let Sent(cpu_us, message): Sent<ToWorker<'_>> = decode(frame.content())?;
        self.cpu.set_outside(cpu_us);
        let answered = match message {
            ToWorker::Answer(DbAnswer::Thrown(kind, text)) => Err(DbFailure::Thrown(kind, text.into_owned())),
            ToWorker::Answer(DbAnswer::Abort) => Err(DbFailure::Abort),
            ToWorker::Answer(message) => answer(message),
            ToWorker::Load { .. } | ToWorker::Step { .. } => return Err(unexpected()),
        };
        self.channel.give_back(frame);
        Ok(answered)
    }
}

/// A message that has no place here.
pub(super) fn unexpected() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message came out of its turn")
}

/// Rows of a frame: how many, then their values.
fn take_rows(content: &[u8], columns: usize, rows: &mut dyn RowSink) -> io::Result<()> {
    let (count, values) = content.split_first_chunk().ok_or_else(unexpected)?;
    let mut values = rmp_serde::Deserializer::from_read_ref(values);
    for _ in 0..u32::from_le_bytes(*count) {
        let row = (0..columns).map(|_| ValueMessage::deserialize(&mut values));
        let row: Vec<ValueMessage<'_>> = row.collect::<Result<_, _>>().map_err(io::Error::other)?;
        // Who wants no more rows gets those that are on their way: it has an error to tell.
        let _ = rows.row(&RowMessage(row));
    }
    Ok(())
}

/// Takes no rows: nothing but statements has any.
struct NoRows;

impl RowSink for NoRows {
    fn columns(&mut self, _: &[&str]) {}

    fn row(&mut self, _: &dyn ferry_core::sql::Row) -> bool {
        false
    }
}

impl FunctionDb for WorkerDb<'_> {
    fn execute(
        &mut self,
        sql: &str,
        parameters: &[Value<'_>],
        rows: &mut dyn RowSink,
    ) -> Result<Executed, DbFailure> {
        let parameters = parameters.iter().map(|value| ValueMessage(*value)).collect();
        self.ask(DbAsk::Execute { sql, parameters }, rows, |answer| match answer {
            DbAnswer::Executed(executed) => Ok(executed),
            _ => Err(DbFailure::Abort),
        })
    }

    fn savepoint(&mut self, step: SavepointStep) -> Result<(), DbFailure> {
        self.ask(DbAsk::Savepoint(step), &mut NoRows, |answer| match answer {
            DbAnswer::Savepoint => Ok(()),
            _ => Err(DbFailure::Abort),
        })
    }

    fn model(&mut self, call: &ModelCall<'_>) -> Result<String, DbFailure> {
        self.ask(DbAsk::Model(*call), &mut NoRows, |answer| match answer {
            DbAnswer::Model(json) => Ok(json.into_owned()),
            _ => Err(DbFailure::Abort),
        })
    }

    fn seq(&mut self) -> Result<u64, DbFailure> {
        self.ask(DbAsk::Seq, &mut NoRows, |answer| match answer {
            DbAnswer::Seq(seq) => Ok(seq),
            _ => Err(DbFailure::Abort),
        })
    }

    fn go_on(&mut self) -> bool {
        let used = self.cpu.used();
        if used < self.asked_at + GO_ON_EVERY {
            if used > LONG {
                // Whoever woke on this core meanwhile need not wait until the system ends this thread's slice.
                std::thread::yield_now();
            }
            return self.broken.is_none();
        }
        self.asked_at = used;
        let goes_on =
            self.ask(DbAsk::GoOn, &mut NoRows, |answer| Ok(matches!(answer, DbAnswer::GoesOn(true))));
        goes_on.unwrap_or(false)
    }
}
