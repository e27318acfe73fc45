//! Results as JSON, as `JSON.stringify` writes them (ECMA-262, 25.5.2), but for bigints, which become decimal strings.
//!
//! The engine's own serialiser looks at no clock and stops at no size: thirty objects that each hold the last one twice
//! would keep it for minutes.

use std::collections::HashMap;

use rquickjs::{Atom, Coerced, Ctx, Exception, Filter, FromJs, Function, Object, Result, Value};
use rquickjs::{atom::PredefinedAtom, function::This};

use crate::{
    call::Limit,
    instance::{call, kernel},
    state::State,
};

/// Deepest nesting: what serde_json reads back.
const DEPTH_MAX: usize = 127;
/// Values between two looks at the clock.
const VALUES_PER_LOOK: u32 = 1024;

/// Why there is no JSON.
pub(crate) enum JsonFailure {
    /// A limit was reached, or the call was ended.
    Limit(Limit),
    /// Something was thrown.
    Engine(rquickjs::Error),
}

impl From<rquickjs::Error> for JsonFailure {
    fn from(error: rquickjs::Error) -> Self {
        Self::Engine(error)
    }
}

/// The JSON of a value; `None` for what has none, as `undefined`. Getters and `toJSON` run meanwhile.
pub(crate) fn to_json<'js>(
    ctx: &Ctx<'js>,
    state: &State,
    value: Value<'js>,
    bytes_max: usize,
) -> std::result::Result<Option<String>, JsonFailure> {
    let mut writer = Writer {
        ctx,
        state,
        bytes_max,
        text: String::new(),
        names: HashMap::new(),
        open: Vec::new(),
        values: 0,
    };
    let is_written = writer.value(value, &mut |_| {}, String::new)?;
    Ok(is_written.then_some(writer.text))
}

struct Writer<'a, 'js> {
    ctx: &'a Ctx<'js>,
    state: &'a State,
    bytes_max: usize,
    text: String,
    /// Names of properties as they are written: rows have the same ones again and again.
    names: HashMap<Atom<'js>, String>,
    /// The objects around the value, for cycles.
    open: Vec<Value<'js>>,
    values: u32,
}

type Written<T> = std::result::Result<T, JsonFailure>;

impl<'js> Writer<'_, 'js> {
    /// Writes a value, after what `before` writes; false: it has no JSON, and nothing was written. `key` is what `toJSON` is
    /// told.
    fn value(
        &mut self,
        value: Value<'js>,
        before: &mut dyn FnMut(&mut Self),
        key: impl FnOnce() -> String,
    ) -> Written<bool> {
        self.look()?;
        let value = match value.as_object() {
            Some(object) => {
                let to_json: Value<'js> = object.get(PredefinedAtom::ToJSON)?;
                match to_json.as_function() {
                    Some(to_json) => to_json.call((This(object.clone()), key()))?,
                    None => value,
                }
            }
            None => value,
        };
        if value.is_undefined() || value.is_symbol() || value.is_function() {
            return Ok(false);
        }
        before(self);
        if let Some(object) = value.as_object() {
            self.object(object)?;
        } else {
            self.primitive(&value)?;
        }
        if self.text.len() > self.bytes_max { Err(JsonFailure::Limit(Limit::Result)) } else { Ok(true) }
    }

    fn look(&mut self) -> Written<()> {
        self.values = self.values.wrapping_add(1);
        let must_stop = self.values.is_multiple_of(VALUES_PER_LOOK) && self.state.must_stop();
        if must_stop { Err(JsonFailure::Limit(Limit::Cpu)) } else { Ok(()) }
    }

    fn primitive(&mut self, value: &Value<'js>) -> Written<()> {
        if let Some(integer) = value.as_int() {
            self.text.push_str(&integer.to_string());
        } else if let Some(text) = value.as_string() {
            push_quoted(self.ctx, &mut self.text, text)?;
        } else if let Some(flag) = value.as_bool() {
            self.text.push_str(if flag { "true" } else { "false" });
        } else if value.as_float().is_some_and(f64::is_finite) {
            self.push_coerced(value)?;
        } else if value.is_big_int() {
            self.text.push('"');
            self.push_coerced(value)?;
            self.text.push('"');
        } else {
            self.text.push_str("null");
        }
        Ok(())
    }

    /// As `String(value)`.
    fn push_coerced(&mut self, value: &Value<'js>) -> Written<()> {
        let Coerced(text) = Coerced::<String>::from_js(self.ctx, value.clone())?;
        self.text.push_str(&text);
        Ok(())
    }

    fn object(&mut self, object: &Object<'js>) -> Written<()> {
        if self.open.len() >= DEPTH_MAX {
            return Err(JsonFailure::Limit(Limit::Stack));
        }
        if self.open.contains(object.as_value()) {
            let message = if self.open.iter().any(is_thenable) {
                "circular reference: the result holds a query or a promise; await it"
            } else {
                "circular reference"
            };
            return Err(Exception::throw_type(self.ctx, message).into());
        }
        self.open.push(object.as_value().clone());
        if is_array(self.ctx, object)? {
            self.array(object)?;
        } else {
            self.members(object)?;
        }
        self.open.pop();
        Ok(())
    }

    fn array(&mut self, array: &Object<'js>) -> Written<()> {
        // A proxy may say of itself what it likes; the sizes and the clock end that.
        let length: f64 = array.get(PredefinedAtom::Length)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a length that is cut is an array cut"
        )]
        let length = length.max(0.0) as u32;
        self.text.push('[');
        for place in 0..length {
            if place > 0 {
                self.text.push(',');
            }
            if !self.value(array.get(place)?, &mut |_| {}, || place.to_string())? {
                self.text.push_str("null");
            }
        }
        self.text.push(']');
        Ok(())
    }

    fn members(&mut self, object: &Object<'js>) -> Written<()> {
        let keys = object.own_keys::<Atom<'js>>(Filter::new().string().enum_only());
        let is_empty = keys.len() == 0;
        if is_empty && let Some(inner) = self.unboxed(object)? {
            return self.primitive(&inner);
        }
        self.text.push('{');
        let mut is_first = true;
        for key in keys {
            let key = key?;
            let value = object.get(key.clone())?;
            let name = match self.names.get(&key) {
                Some(name) => name.clone(),
                None => self.name(&key)?,
            };
            let mut before = |writer: &mut Self| {
                if !std::mem::take(&mut is_first) {
                    writer.text.push(',');
                }
                writer.text.push_str(&name);
            };
            self.value(value, &mut before, || text_of(&key))?;
        }
        self.text.push('}');
        Ok(())
    }

    /// `"name":`, kept for the next object.
    fn name(&mut self, key: &Atom<'js>) -> Written<String> {
        let mut name = String::new();
        push_quoted(self.ctx, &mut name, &key.to_js_string()?)?;
        name.push(':');
        self.names.insert(key.clone(), name.clone());
        Ok(name)
    }

    /// What `new Number(1)` and its kin hold.
    fn unboxed(&self, object: &Object<'js>) -> Result<Option<Value<'js>>> {
        for constructor in [PredefinedAtom::Number, PredefinedAtom::Boolean, PredefinedAtom::String] {
            let constructor: Value<'js> = self.ctx.globals().get(constructor)?;
            if constructor.is_function() && object.is_instance_of(&constructor) {
                let value_of: Function<'js> = object.get(PredefinedAtom::ValueOf)?;
                let inner: Value<'js> = value_of.call((This(object.clone()),))?;
                return Ok((!inner.is_object()).then_some(inner));
            }
        }
        Ok(None)
    }
}

/// `Array.isArray`, which is true of proxies of arrays too.
fn is_array<'js>(ctx: &Ctx<'js>, object: &Object<'js>) -> Result<bool> {
    if object.is_proxy() {
        return call(&kernel(ctx)?, "isArray", (object.clone(),));
    }
    Ok(object.is_array())
}

/// A property's name. Not by way of [`Atom::to_string`], which takes half a surrogate pair for UTF-8.
fn text_of(key: &Atom<'_>) -> String {
    key.to_js_string().and_then(|name| name.to_string()).unwrap_or_default()
}

fn push_quoted<'js>(ctx: &Ctx<'js>, out: &mut String, text: &rquickjs::String<'js>) -> Result<()> {
    match text.to_string() {
        Ok(text) => quote(out, &text),
        // Half a surrogate pair: the engine knows how that is written.
        Err(rquickjs::Error::Utf8(_)) => {
            let quoted = ctx.json_stringify(text.clone())?;
            out.push_str(&quoted.map_or_else(|| Ok(String::new()), |text| text.to_string())?);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// A text as JSON writes it.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(place) = rest.bytes().position(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.push_str(&rest[..place]);
        match rest.as_bytes()[place] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            control => out.push_str(&format!("\\u{control:04x}")),
        }
        rest = &rest[place + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// Whether it waits to be awaited: a promise, or a query of drizzle's that was not run.
fn is_thenable(value: &Value<'_>) -> bool {
    let then = value.as_object().map(|object| object.get::<_, Value<'_>>("then"));
    then.is_some_and(|then| then.is_ok_and(|then| then.is_function()))
}
