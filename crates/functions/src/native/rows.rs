//! Values of SQL as values of JavaScript and back.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ferry_core::sql::{Row, Value as SqlValue};
use rquickjs::{
    Array, Atom, BigInt, Coerced, Ctx, Error, Exception, FromJs, Object, Result, String as JsString,
};
use rquickjs::{TypedArray, Value, object::Property};

use crate::db::RowSink;

/// Up to here numbers of JavaScript are exact.
const EXACT_MAX: i64 = 1 << 53;
/// The same as a double.
const EXACT_MAX_REAL: f64 = 9_007_199_254_740_992.0;

/// A parameter of a statement.
pub(super) enum BoundValue {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl BoundValue {
    /// The prelude hands bytes over as an array that holds their base64.
    pub(super) fn of<'js>(ctx: &Ctx<'js>, value: &Value<'js>) -> Result<Self> {
        if let Some(integer) = value.as_int() {
            return Ok(Self::Integer(integer.into()));
        }
        if let Some(text) = value.as_string() {
            return Ok(Self::Text(text.to_string()?));
        }
        if value.is_null() || value.is_undefined() {
            return Ok(Self::Null);
        }
        if let Some(number) = value.as_float() {
            return Ok(Self::of_number(number));
        }
        if let Some(flag) = value.as_bool() {
            return Ok(Self::Integer(flag.into()));
        }
        if value.is_big_int() {
            let Coerced(digits) = Coerced::<String>::from_js(ctx, value.clone())?;
            let integer = digits
                .parse()
                .map_err(|_| Exception::throw_range(ctx, "a bigint parameter does not fit into 64 bits"))?;
            return Ok(Self::Integer(integer));
        }
        if let Some(array) = value.as_array() {
            let base64: String = array.get(0)?;
            let bytes = STANDARD.decode(base64).map_err(|_| Error::new_from_js("string", "bytes"))?;
            return Ok(Self::Blob(bytes));
        }
        let kind = value.type_of();
        Err(Exception::throw_type(ctx, &format!("a parameter of a statement is of type {kind}")))
    }

    fn of_number(number: f64) -> Self {
        let is_integer = number.fract() == 0.0 && number.abs() <= EXACT_MAX_REAL;
        if is_integer && !(number == 0.0 && number.is_sign_negative()) {
            #[expect(clippy::cast_possible_truncation, reason = "it is an integer within ±2^53")]
            return Self::Integer(number as i64);
        }
        // SQLite has no NaN.
        if number.is_nan() { Self::Null } else { Self::Real(number) }
    }

    pub(super) fn as_sql(&self) -> SqlValue<'_> {
        match self {
            Self::Null => SqlValue::Null,
            Self::Integer(integer) => SqlValue::Integer(*integer),
            Self::Real(real) => SqlValue::Real(*real),
            Self::Text(text) => SqlValue::Text(text),
            Self::Blob(bytes) => SqlValue::Blob(bytes),
        }
    }
}

/// What a statement's rows become.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RowForm {
    Arrays,
    /// Named as SQL names the columns.
    Objects,
    /// Named by whoever asks.
    Keyed,
    None,
}

/// Makes rows of JavaScript while SQLite steps.
pub(super) struct Rows<'js> {
    ctx: Ctx<'js>,
    form: RowForm,
    columns: Array<'js>,
    rows: Array<'js>,
    count: usize,
    /// The column names as property names, made once for all rows.
    names: Vec<Atom<'js>>,
    error: Option<Error>,
}

impl<'js> Rows<'js> {
    /// `mode` of `execute`: 0 arrays, 1 objects, an array of names, else no rows.
    pub(super) fn new(ctx: &Ctx<'js>, mode: &Value<'js>) -> Result<Self> {
        let mut names = Vec::new();
        let form = if let Some(keys) = mode.as_array() {
            for key in keys.iter::<Value<'js>>() {
                names.push(Atom::from_value(ctx.clone(), &key?)?);
            }
            RowForm::Keyed
        } else {
            match mode.as_int() {
                Some(0) => RowForm::Arrays,
                Some(1) => RowForm::Objects,
                _ => RowForm::None,
            }
        };
        Ok(Self {
            ctx: ctx.clone(),
            form,
            columns: Array::new(ctx.clone())?,
            rows: Array::new(ctx.clone())?,
            count: 0,
            names,
            error: None,
        })
    }

    /// The names of the columns and the rows.
    pub(super) fn finish(self) -> Result<(Array<'js>, Array<'js>)> {
        self.error.map_or(Ok((self.columns, self.rows)), Err)
    }

    fn add_columns(&mut self, names: &[&str]) -> Result<()> {
        if self.form == RowForm::Keyed {
            self.names.truncate(names.len());
            return Ok(());
        }
        for (place, name) in names.iter().enumerate() {
            let name = JsString::from_str(self.ctx.clone(), name)?.into_value();
            self.names.push(Atom::from_value(self.ctx.clone(), &name)?);
            self.columns.set(place, name)?;
        }
        Ok(())
    }

    fn add(&mut self, row: &dyn Row) -> Result<()> {
        match self.form {
            RowForm::None => return Ok(()),
            RowForm::Arrays => {
                let values = Array::new(self.ctx.clone())?;
                for column in 0..self.names.len() {
                    values.set(column, to_js(&self.ctx, row.value(column))?)?;
                }
                self.rows.set(self.count, values)?;
            }
            RowForm::Objects | RowForm::Keyed => {
                let object = Object::new(self.ctx.clone())?;
                for (column, name) in self.names.iter().enumerate() {
                    // Defined, not set: a column may be called __proto__.
                    let value = Property::from(to_js(&self.ctx, row.value(column))?);
                    object.prop(name.clone(), value.writable().enumerable().configurable())?;
                }
                self.rows.set(self.count, object)?;
            }
        }
        self.count += 1;
        Ok(())
    }
}

impl RowSink for Rows<'_> {
    fn columns(&mut self, names: &[&str]) {
        if let Err(error) = self.add_columns(names) {
            self.error = Some(error);
        }
    }

    fn row(&mut self, row: &dyn Row) -> bool {
        if self.error.is_none()
            && let Err(error) = self.add(row)
        {
            self.error = Some(error);
        }
        self.error.is_none()
    }
}

fn to_js<'js>(ctx: &Ctx<'js>, value: SqlValue<'_>) -> Result<Value<'js>> {
    Ok(match value {
        SqlValue::Null => Value::new_null(ctx.clone()),
        SqlValue::Integer(integer) => integer_to_js(ctx, integer)?,
        SqlValue::Real(real) => Value::new_float(ctx.clone(), real),
        SqlValue::Text(text) => JsString::from_str(ctx.clone(), text)?.into_value(),
        // Copied, so that it counts into the context's heap.
        SqlValue::Blob(bytes) => TypedArray::<u8>::new_copy(ctx.clone(), bytes)?.into_value(),
    })
}

/// A number, or a bigint where numbers are not exact (FUN-06).
pub(super) fn integer_to_js<'js>(ctx: &Ctx<'js>, integer: i64) -> Result<Value<'js>> {
    if let Ok(small) = i32::try_from(integer) {
        return Ok(Value::new_int(ctx.clone(), small));
    }
    if integer.unsigned_abs() > EXACT_MAX.unsigned_abs() {
        return Ok(BigInt::from_i64(ctx.clone(), integer)?.into_value());
    }
    #[expect(clippy::cast_precision_loss, reason = "within ±2^53 doubles are exact")]
    Ok(Value::new_float(ctx.clone(), integer as f64))
}
