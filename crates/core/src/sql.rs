//! What an engine asks of storage: SQLite's dialect over one connection, inside one transaction or on one read
//! snapshot. Small and synchronous, without hooks, so that the same engine runs natively, in a Durable Object and
//! in a simulation.

use std::{fmt, ops::ControlFlow};

/// A value of SQLite, borrowed (its five storage classes: SQLite documentation, "Datatypes").
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// NULL.
    Null,
    /// A signed 64-bit integer.
    Integer(i64),
    /// An IEEE 754 double.
    Real(f64),
    /// UTF-8 text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Blob(value)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A column that holds another class than the engine stored there: the file was changed by somebody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Damaged {
    /// Place of the column in the query, from 0.
    pub column: usize,
    /// What was expected.
    pub expected: &'static str,
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {} of an engine table is not {}", self.column, self.expected)
    }
}

/// One row of an answer; it lives until the next one is asked for.
pub trait Row {
    /// The value of column `column`, from 0; [`Value::Null`] beyond the last.
    fn value(&self, column: usize) -> Value<'_>;
}

impl dyn Row + '_ {
    /// An integer that is not NULL.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn integer(&self, column: usize) -> Result<i64, Damaged> {
        self.optional_integer(column)?.ok_or(Damaged { column, expected: "an integer" })
    }

    /// An integer or NULL.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn optional_integer(&self, column: usize) -> Result<Option<i64>, Damaged> {
        match self.value(column) {
            Value::Integer(value) => Ok(Some(value)),
            Value::Null => Ok(None),
            _ => Err(Damaged { column, expected: "an integer" }),
        }
    }

    /// A text that is not NULL.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn text(&self, column: usize) -> Result<&str, Damaged> {
        self.optional_text(column)?.ok_or(Damaged { column, expected: "a text" })
    }

    /// A text or NULL.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn optional_text(&self, column: usize) -> Result<Option<&str>, Damaged> {
        match self.value(column) {
            Value::Text(value) => Ok(Some(value)),
            Value::Null => Ok(None),
            _ => Err(Damaged { column, expected: "a text" }),
        }
    }

    /// Bytes that are not NULL.
    ///
    /// # Errors
    /// When the column holds something else.
    pub fn blob(&self, column: usize) -> Result<&[u8], Damaged> {
        match self.value(column) {
            Value::Blob(value) => Ok(value),
            _ => Err(Damaged { column, expected: "a blob" }),
        }
    }
}

/// What a query hands its rows to; it may break off.
pub type Each<'a, E> = dyn FnMut(&dyn Row) -> Result<ControlFlow<()>, E> + 'a;

/// One connection. Statements are kept prepared by their text, so an engine's texts are constants wherever they
/// can be. `?1` stands for the first parameter.
pub trait Sql {
    /// What storage reports; an engine's own refusals travel in it too.
    type Error: From<Damaged> + From<ferry_types::Error>;

    /// Runs a statement that answers no rows and tells how many it inserted, changed or removed.
    ///
    /// # Errors
    /// What storage reports.
    fn execute(&self, sql: &str, parameters: &[Value<'_>]) -> Result<usize, Self::Error>;

    /// Runs a statement that answers no rows once for every `columns` values, as a batch of rows is inserted.
    ///
    /// # Errors
    /// What storage reports.
    fn execute_rows(&self, sql: &str, columns: usize, values: &[Value<'_>]) -> Result<(), Self::Error> {
        values.chunks_exact(columns).try_for_each(|row| self.execute(sql, row).map(drop))
    }

    /// Hands each row of the answer to `each` until that breaks off.
    ///
    /// # Errors
    /// What storage or `each` reports.
    fn query(
        &self,
        sql: &str,
        parameters: &[Value<'_>],
        each: &mut Each<'_, Self::Error>,
    ) -> Result<(), Self::Error>;

    /// The first row of the answer, read by `read`; `None` if there is none.
    ///
    /// # Errors
    /// What storage or `read` reports.
    fn first<T>(
        &self,
        sql: &str,
        parameters: &[Value<'_>],
        read: impl FnOnce(&dyn Row) -> Result<T, Self::Error>,
    ) -> Result<Option<T>, Self::Error>
    where
        Self: Sized,
    {
        let (mut read, mut found) = (Some(read), None);
        self.query(sql, parameters, &mut |row| {
            if let Some(read) = read.take() {
                found = Some(read(row)?);
            }
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }
}
