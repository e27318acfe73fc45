//! One statement.

use std::ops::ControlFlow;

use ferry_core::sql::Row;
use ferry_sqlite::{
    console::{ConsoleFailure, ConsoleSnapshot},
    pages::{PinnedVersion, VersionInfo},
};
use ferry_types::{DatabaseId, Error, Reason, Result, Seq, UserId};

use super::{
    Console, VERSION_DESCRIPTORS, cells,
    turns::QueryTurn,
    watch::{StopSign, StopUnheard},
};
use crate::monotonic;

/// Bytes of an answer's rows.
const ANSWER_MAX_BYTES: usize = 1 << 20;
/// Bytes of a value, unless asked otherwise.
const VALUE_DEFAULT_BYTES: usize = 4096;
/// Bytes of a value in a first row that would be longer than an answer.
const VALUE_LEAST_BYTES: usize = 64;

/// What a member asks.
pub(crate) struct WantedQuery {
    pub(crate) sql: String,
    /// As the database was; `None`: as it is.
    pub(crate) at: Option<PinnedVersion>,
    pub(crate) params_json: String,
    /// 0: as many as there may be.
    pub(crate) max_rows: u32,
    /// 0: as long as usual.
    pub(crate) max_value_bytes: u32,
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct QueryAnswer {
    pub(crate) columns: Vec<String>,
    pub(crate) rows_json: String,
    /// The limit at which it ended; empty: at its end.
    pub(crate) stopped_by: &'static str,
    pub(crate) seq: Seq,
    pub(crate) micros: u64,
    /// The older version that was asked.
    pub(crate) version: Option<VersionInfo>,
}

/// The rows so far.
struct Found {
    json: String,
    count: usize,
    max_rows: usize,
    value_bytes: usize,
    stopped_by: &'static str,
}

impl Found {
    fn take(&mut self, row: &dyn Row, columns: usize) -> ControlFlow<()> {
        if self.count == self.max_rows {
            return self.stop("rows");
        }
        let mut text = cells::row(row, columns, self.value_bytes).to_string();
        if self.count == 0 && text.len() > ANSWER_MAX_BYTES {
            text = cells::row(row, columns, VALUE_LEAST_BYTES).to_string();
        }
        if self.count > 0 && self.json.len() + text.len() > ANSWER_MAX_BYTES {
            return self.stop("bytes");
        }
        self.json.push(if self.count == 0 { '[' } else { ',' });
        self.json += &text;
        self.count += 1;
        ControlFlow::Continue(())
    }

    fn stop(&mut self, limit: &'static str) -> ControlFlow<()> {
        self.stopped_by = limit;
        ControlFlow::Break(())
    }
}

/// A statement that is about to run.
struct Running {
    sql: String,
    parameters: Vec<cells::QueryParameter>,
    found: Found,
    stop: StopSign,
    /// It lasts as long as the statement, whoever still waits.
    _turn: QueryTurn,
}

impl Running {
    fn run(self, snapshot: &ConsoleSnapshot) -> ferry_sqlite::Result<QueryAnswer> {
        let Self { sql, parameters, mut found, stop, _turn } = self;
        let begun_us = monotonic::now_us();
        let values: Vec<_> = parameters.iter().map(cells::QueryParameter::as_value).collect();
        let mut columns = Vec::new();
        let ended = snapshot
            .run(&sql, &values, &mut |names| columns = names, &mut |row, width| found.take(row, width));
        match ended {
            Ok(true) => {}
            Ok(false) => found.stopped_by = stop.limit(),
            Err(ConsoleFailure::Statement(message)) => {
                return Err(Error::new(Reason::InvalidArgument, message).into());
            }
            Err(ConsoleFailure::Storage(error)) => return Err(error),
        }
        let rows_json = if found.count == 0 { "[]".to_owned() } else { found.json + "]" };
        let micros = monotonic::now_us().saturating_sub(begun_us);
        let (stopped_by, seq) = (found.stopped_by, snapshot.seq());
        Ok(QueryAnswer { columns, rows_json, stopped_by, seq, micros, version: None })
    }
}

impl Console {
    /// Runs the statement of `user` on one snapshot of the database.
    ///
    /// # Errors
    /// What is wrong with the statement; `BUSY`; a version that is too large; what storage reports.
    pub(crate) async fn query(
        &self,
        user: UserId,
        id: DatabaseId,
        wanted: WantedQuery,
    ) -> Result<QueryAnswer> {
        let WantedQuery { sql, at, params_json, max_rows, max_value_bytes } = wanted;
        let parameters = cells::parameters(&params_json)?;
        let database = self.databases.get(id)?;
        if !database.has_file().await {
            let message = "nothing was written to this database yet: there is nothing to look at";
            return Err(Error::new(Reason::FailedPrecondition, message));
        }
        let opened = match at {
            None => None,
            Some(at) => {
                let file = self.version_file(user, id, at).await?;
                Some((file, database.hold_files(VERSION_DESCRIPTORS).await?))
            }
        };
        // Whoever waits for a version runs no statement yet.
        let turn = self.turns.take(user)?;
        let or_else = |asked: u32, default: usize| if asked == 0 { default } else { asked as usize };
        let rows_max = self.config.query_rows as usize;
        let found = Found {
            json: String::new(),
            count: 0,
            max_rows: or_else(max_rows, rows_max).min(rows_max),
            value_bytes: or_else(max_value_bytes, VALUE_DEFAULT_BYTES).min(ANSWER_MAX_BYTES),
            stopped_by: "",
        };
        let stop = StopSign::default();
        let _unheard = StopUnheard(stop.clone());
        let watch = stop.clone().watch(self.config.query_seconds * 1_000_000);
        let running = Running { sql, parameters, found, stop, _turn: turn };
        let Some((file, descriptors)) = opened else {
            return database.look(watch, move |snapshot| running.run(snapshot)).await;
        };
        let version = file.info().clone();
        let looked = tokio::task::spawn_blocking(move || {
            // Held to the end, also if nobody waits any more.
            let _descriptors = descriptors;
            running.run(&ConsoleSnapshot::of_file(file.path(), watch)?)
        });
        let answer =
            looked.await.map_err(|_| Error::internal())?.map_err(ferry_sqlite::Error::into_refusal)?;
        Ok(QueryAnswer { seq: Seq(version.version), version: Some(version), ..answer })
    }
}
