//! What takes time, what is written down, and the clock.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rquickjs::{Ctx, Error, Exception, Function, Object, Result, TypedArray};

use super::go_on;
use crate::{
    call::{Ask, FetchRequest, LogLevel},
    state::{Phase, State},
};

/// Longest delay of a timer: what does not fit is due when the call is long over.
const DELAY_MS_MAX: f64 = 2_147_483_647.0;
/// Most random bytes at once, as in browsers.
const RANDOM_BYTES_MAX: usize = 65_536;

pub(super) fn install<'js>(native: &Object<'js>, state: &Arc<State>) -> Result<()> {
    requests(native, state)?;
    timers(native, state)?;
    notes(native, state)?;
    work(native, state)?;
    clock(native, state)
}

/// `fetch`, `signJwt`, `verifyJwt`: each gives the id under which its answer will come.
fn requests<'js>(native: &Object<'js>, state: &Arc<State>) -> Result<()> {
    let ctx = native.ctx();
    let of = Arc::clone(state);
    // Headers are names and values in turn; the body is base64.
    let fetch = move |ctx: Ctx<'js>,
                      method: String,
                      url: String,
                      headers: Vec<String>,
                      body: Option<String>,
                      redirect: String| {
        go_on(&ctx, &of)?;
        let headers = headers.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
        let body = body.map(|body| STANDARD.decode(body)).transpose();
        let body = body.map_err(|_| Error::new_from_js("string", "bytes"))?;
        let ask = Ask::Fetch(FetchRequest { method, url, headers, body, redirect });
        of.call().ask(ask).map_err(|refusal| Exception::throw_type(&ctx, &format!("fetch failed: {refusal}")))
    };
    native.set("fetch", Function::new(ctx.clone(), fetch)?)?;
    let of = Arc::clone(state);
    let sign = move |ctx: Ctx<'js>, claims: String, expires_in: String| {
        go_on(&ctx, &of)?;
        let ask = Ask::Sign { claims, expires_in };
        of.call()
            .ask(ask)
            .map_err(|refusal| Exception::throw_message(&ctx, &format!("signJwt failed: {refusal}")))
    };
    native.set("sign", Function::new(ctx.clone(), sign)?)?;
    let of = Arc::clone(state);
    let verify = move |ctx: Ctx<'js>, token: String, issuer: Option<String>, audience: Option<String>| {
        go_on(&ctx, &of)?;
        // Whether it is good depends on the time and on keys that change, and none of them is a row.
        of.call().used.clock = true;
        of.call().used.sign = true;
        let ask = Ask::Verify { token, issuer, audience };
        of.call()
            .ask(ask)
            .map_err(|refusal| Exception::throw_message(&ctx, &format!("verifyJwt failed: {refusal}")))
    };
    native.set("verify", Function::new(ctx.clone(), verify)?)?;
    let of = Arc::clone(state);
    native.set("cancel", Function::new(ctx.clone(), move |id: u32| of.call().cancel(id))?)
}

fn timers<'js>(native: &Object<'js>, state: &Arc<State>) -> Result<()> {
    let ctx = native.ctx();
    let of = Arc::clone(state);
    let set_timer = move |ctx: Ctx<'js>, delay_ms: f64| {
        go_on(&ctx, &of)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is within the bounds"
        )]
        let delay_ms = delay_ms.clamp(0.0, DELAY_MS_MAX) as u64;
        let now_us = of.now_us();
        of.call().set_timer(now_us, delay_ms).map_err(|refusal| Exception::throw_message(&ctx, &refusal))
    };
    native.set("setTimer", Function::new(ctx.clone(), set_timer)?)?;
    let of = Arc::clone(state);
    native.set("clearTimer", Function::new(ctx.clone(), move |id: u32| of.call().clear_timer(id))?)
}

/// The log, warnings, names for live queries, what the result depends on.
fn notes<'js>(native: &Object<'js>, state: &Arc<State>) -> Result<()> {
    let ctx = native.ctx();
    let of = Arc::clone(state);
    let log = move |level: String, text: String| {
        let level = match level.as_str() {
            "debug" => LogLevel::Debug,
            "warn" => LogLevel::Warn,
            "error" => LogLevel::Error,
            _ => LogLevel::Info,
        };
        of.call().log(level, text);
    };
    native.set("log", Function::new(ctx.clone(), log)?)?;
    let of = Arc::clone(state);
    native.set("warn", Function::new(ctx.clone(), move |text: String| of.call().warn(text))?)?;
    let of = Arc::clone(state);
    let subscribe_to = move |ctx: Ctx<'js>, names: Vec<String>| {
        go_on(&ctx, &of)?;
        of.call().subscribe_to(names).map_err(|refusal| Exception::throw_message(&ctx, &refusal))
    };
    native.set("subscribeTo", Function::new(ctx.clone(), subscribe_to)?)?;
    let of = Arc::clone(state);
    let invalidate = move |ctx: Ctx<'js>, names: Vec<String>| {
        go_on(&ctx, &of)?;
        of.call().invalidate(names).map_err(|refusal| Exception::throw_message(&ctx, &refusal))
    };
    native.set("invalidate", Function::new(ctx.clone(), invalidate)?)?;
    let of = Arc::clone(state);
    let used = move |what: String| {
        let used = &mut of.call().used;
        match what.as_str() {
            "user" => used.user = true,
            "headers" => used.headers = true,
            "sign" => used.sign = true,
            "clock" => used.clock = true,
            _ => {}
        }
    };
    native.set("used", Function::new(ctx.clone(), used)?)?;
    let of = Arc::clone(state);
    let is_running = move || of.call().phase == Phase::Running;
    native.set("isRunning", Function::new(ctx.clone(), is_running)?)
}

/// What a builtin is about to work through without a look at the clock: here is the look.
fn work<'js>(native: &Object<'js>, state: &Arc<State>) -> Result<()> {
    let of = Arc::clone(state);
    let look = move |ctx: Ctx<'js>| {
        of.must_stop();
        go_on(&ctx, &of)
    };
    native.set("look", Function::new(native.ctx().clone(), look)?)
}

/// The clock and randomness, each of which makes a result less certain to be the same again (FUN-33).
fn clock<'js>(native: &Object<'js>, state: &Arc<State>) -> Result<()> {
    let ctx = native.ctx();
    let of = Arc::clone(state);
    let now_us = move || {
        of.call().used.clock = true;
        of.now_us()
    };
    native.set("nowUs", Function::new(ctx.clone(), now_us)?)?;
    let of = Arc::clone(state);
    let since_beginning_us = move || {
        of.call().used.clock = true;
        of.since_beginning_us()
    };
    native.set("sinceBeginningUs", Function::new(ctx.clone(), since_beginning_us)?)?;
    let of = Arc::clone(state);
    let random_bytes = move |ctx: Ctx<'js>, count: usize| {
        of.call().used.random = true;
        if count > RANDOM_BYTES_MAX {
            return Err(Exception::throw_range(&ctx, "more than 65536 random bytes at once"));
        }
        let mut bytes = vec![0; count];
        getrandom::fill(&mut bytes)
            .map_err(|_| Exception::throw_message(&ctx, "the system gave no random bytes"))?;
        TypedArray::<u8>::new_copy(ctx, bytes)
    };
    native.set("randomBytes", Function::new(ctx.clone(), random_bytes)?)?;
    let of = Arc::clone(state);
    let random = move |ctx: Ctx<'js>| {
        of.call().used.random = true;
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)
            .map_err(|_| Exception::throw_message(&ctx, "the system gave no random bytes"))?;
        // The 53 bits that a double between 0 and 1 holds evenly.
        #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
        Ok::<f64, Error>((u64::from_le_bytes(bytes) >> 11) as f64 / 9_007_199_254_740_992.0)
    };
    native.set("random", Function::new(ctx.clone(), random)?)
}
