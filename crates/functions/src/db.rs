//! What a running function asks of its database.

use ferry_core::sql::{Row, Value};
use serde::{Deserialize, Serialize};

/// The database of a running call. Whoever runs calls implements it: on a snapshot, inside a request of the writer, on a
/// writer that was lent. All of it happens on the thread that runs the call.
pub trait FunctionDb {
    /// Runs one statement of the function.
    ///
    /// # Errors
    /// What the function is told, or that its run ends here.
    fn execute(
        &mut self,
        sql: &str,
        parameters: &[Value<'_>],
        rows: &mut dyn RowSink,
    ) -> Result<Executed, DbFailure>;

    /// Begins, keeps or undoes a transaction inside the call's own (`ctx.db.transaction`).
    ///
    /// # Errors
    /// As [`Self::execute`].
    fn savepoint(&mut self, step: SavepointStep) -> Result<(), DbFailure>;

    /// What `ctx.records`, `ctx.events` and `ctx.ops` ask for; the answer is JSON.
    ///
    /// # Errors
    /// As [`Self::execute`].
    fn model(&mut self, call: &ModelCall<'_>) -> Result<String, DbFailure>;

    /// Number of the newest commit that the call sees (`ctx.seq`).
    ///
    /// # Errors
    /// As [`Self::execute`].
    fn seq(&mut self) -> Result<u64, DbFailure>;

    /// Asked now and then while JavaScript runs: whoever implements it may let other calls come first. False ends the run,
    /// as [`DbFailure::Abort`] does.
    fn go_on(&mut self) -> bool {
        true
    }
}

/// Takes the rows of a statement, one at a time.
pub trait RowSink {
    /// The names of the columns; once, before the first row, and also if there is none.
    fn columns(&mut self, names: &[&str]);

    /// The next row. False ends the statement: its caller wants no more.
    fn row(&mut self, row: &dyn Row) -> bool;
}

/// What a statement did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Executed {
    /// Rows that it inserted, changed or removed itself.
    pub changes: u64,
    /// Rowid of the newest insert of the connection.
    pub last_insert_rowid: i64,
}

/// A transaction inside the call's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SavepointStep {
    /// Begin.
    Begin,
    /// Keep what was done since.
    Release,
    /// Undo what was done since.
    Rollback,
}

/// A call of another sync model's engine. All JSON is text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelCall<'a> {
    /// `ctx.records.put(collection, id, fields)`: makes the record, or changes the fields that are named.
    RecordsPut {
        /// Name of the view.
        collection: &'a str,
        /// Id of the record.
        id: &'a str,
        /// A JSON object.
        fields: &'a str,
    },
    /// `ctx.records.delete(collection, id)`.
    RecordsDelete {
        /// Name of the view.
        collection: &'a str,
        /// Id of the record.
        id: &'a str,
    },
    /// `ctx.events.append(storeId, event)` (FUN-84).
    EventsAppend {
        /// The store.
        store: &'a str,
        /// Name of the event.
        name: &'a str,
        /// Its arguments, JSON.
        args: &'a str,
    },
    /// `ctx.ops.append(ops)` (FUN-84).
    OpsAppend {
        /// A JSON array of ops without clocks.
        ops: &'a str,
    },
}

/// Why a statement did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DbFailure {
    /// The function is told, and may catch it.
    Thrown(SqlFailure, String),
    /// The run ends here and cannot go on; whoever implements [`FunctionDb`] knows why.
    Abort,
}

/// What kind of failure a function is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SqlFailure {
    /// A constraint of a table: `UNIQUE constraint failed: users.email` (FUN-45).
    Constraint,
    /// What no function may do: `access to _ferry_meta is prohibited` (FUN-44).
    Prohibited,
    /// Any other failure of SQL. Its text may name tables and columns, so it is for logs.
    Sql,
    /// A message that is meant for the caller, with its prefix: `CONFLICT: …`.
    Told,
}
