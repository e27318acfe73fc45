//! The arguments of a call.

use ferry_protocol::ops::canonical as canonical_json;
use ferry_types::Seq;
use http::HeaderMap;
use percent_encoding::percent_decode_str;

use crate::functions::refusal::CallRefusal;

/// Deepest nesting of arguments: what reads them in JavaScript goes down a stack.
const NESTING_MAX: usize = 500;
const UNUSABLE: &str = "Invalid request body.";

fn unusable() -> CallRefusal {
    CallRefusal {
        code: ferry_protocol::functions::RpcErrorCode { status: 400, code: "INVALID" },
        ..CallRefusal::new(UNUSABLE)
    }
}

/// Those of a body: any JSON value.
pub(super) fn of_body(body: &[u8]) -> Result<String, CallRefusal> {
    canonical(std::str::from_utf8(body).map_err(|_| unusable())?)
}

/// Those of `?args=`: percent-decoded once, and again only if that is no JSON.
pub(super) fn of_query(query: Option<&str>) -> Result<String, CallRefusal> {
    let pairs = query.unwrap_or_default().split('&');
    let Some(raw) = pairs.filter_map(|pair| pair.strip_prefix("args=")).next() else {
        return Ok("{}".to_owned());
    };
    let once = decoded(&raw.replace('+', " "))?;
    match canonical(&once) {
        Ok(args) => Ok(args),
        Err(_) => canonical(&decoded(&once)?),
    }
}

fn decoded(text: &str) -> Result<String, CallRefusal> {
    percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned).map_err(|_| unusable())
}

/// Arguments with sorted keys, so that equal ones are the same text.
pub(in crate::functions) fn canonical(text: &str) -> Result<String, CallRefusal> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|_| unusable())?;
    if nesting(text) > NESTING_MAX {
        return Err(CallRefusal::new(format!("INVALID: arguments are nested more than {NESTING_MAX} deep.")));
    }
    Ok(canonical_json(text).into_owned())
}

/// How deep arrays and objects are nested in a text that is JSON.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut is_escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// What `Ferry-Min-Seq` asks for.
pub(super) fn min_seq(headers: &HeaderMap) -> Result<Option<Seq>, CallRefusal> {
    let Some(value) = headers.get("ferry-min-seq") else { return Ok(None) };
    let seq = value.to_str().ok().and_then(|text| text.parse().ok()).map(Seq);
    seq.map(Some).ok_or_else(|| CallRefusal::new("INVALID: Ferry-Min-Seq: expected a number."))
}
