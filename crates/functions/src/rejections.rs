//! Promises that were rejected and that nothing awaits: their errors would be lost without a word.

use std::cell::RefCell;

use rquickjs::{Ctx, Promise, Runtime, Value};

use crate::{call::LogLevel, state::State, thrown::Thrown};

/// Most of them that are remembered, and told, of one call.
const REJECTIONS_MAX: usize = 20;

/// Promises of the call in their order; each leaves once something awaits it.
type Rejections<'js> = RefCell<Vec<Value<'js>>>;

/// Makes room for them in a new context.
pub(crate) fn remember(ctx: &Ctx<'_>) -> rquickjs::Result<()> {
    ctx.store_userdata(Rejections::default()).map_err(|_| rquickjs::Error::Unknown)?;
    Ok(())
}

/// Has the engine tell of them from now on.
pub(crate) fn watch(runtime: &Runtime) {
    runtime.set_host_promise_rejection_tracker(Some(Box::new(|ctx, promise, _, is_handled| {
        let Some(rejections) = ctx.userdata::<Rejections<'_>>() else { return };
        let mut rejections = rejections.borrow_mut();
        if is_handled {
            rejections.retain(|rejected| *rejected != promise);
        } else if rejections.len() < REJECTIONS_MAX {
            rejections.push(promise);
        }
    })));
}

/// Forgets those of the call before.
pub(crate) fn clear(ctx: &Ctx<'_>) {
    drop(take(ctx));
}

fn take<'js>(ctx: &Ctx<'js>) -> Vec<Value<'js>> {
    ctx.userdata::<Rejections<'js>>().map(|rejections| rejections.take()).unwrap_or_default()
}

/// Writes into the call's log what each was rejected with; `own` is the call's own promise.
pub(crate) fn tell<'js>(ctx: &Ctx<'js>, state: &State, own: &Promise<'js>) {
    for rejected in take(ctx) {
        if rejected == *own.as_value() || state.is_ended() {
            continue;
        }
        let Some(promise) = rejected.as_promise() else { continue };
        if let Some(Err(rquickjs::Error::Exception)) = promise.result::<Value<'js>>() {
            let thrown = Thrown::of(ctx, &ctx.catch());
            let text = format!(
                "a promise was rejected and nothing awaited it: {}\n{}",
                thrown.headline(),
                thrown.stack
            );
            state.call().log(LogLevel::Error, text);
        }
    }
}
