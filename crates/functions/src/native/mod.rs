//! What JavaScript gets from Rust: one object of functions, handed to Ferry's prelude alone.
//!
//! None of them calls JavaScript back: the engine measures its stack from where Rust last entered it, so that a call from
//! within a call would give a recursion more stack each time.

mod asks;
mod crypto;
mod database;
mod rows;
mod web;

use std::sync::Arc;

use rquickjs::{Ctx, Exception, Object, Result};

use crate::{
    call::CallFailure,
    db::FunctionDb,
    state::{Phase, State},
};

scoped_tls_hkt::scoped_thread_local!(
    /// The database of the step that runs on this thread.
    pub(crate) static mut DATABASE: for<'a> &'a mut (dyn FunctionDb + 'a)
);

/// Whether who runs the call lets it go on. It is asked while JavaScript runs, not while the database does.
pub(crate) fn may_go_on(state: &State) -> bool {
    let goes_on = !DATABASE.is_set() || DATABASE.with(|database| database.go_on());
    if !goes_on {
        state.end(CallFailure::Aborted);
    }
    goes_on
}

/// The object.
pub(crate) fn object<'js>(ctx: &Ctx<'js>, state: &Arc<State>) -> Result<Object<'js>> {
    let native = Object::new(ctx.clone())?;
    database::install(&native, state)?;
    asks::install(&native, state)?;
    web::install(&native)?;
    crypto::install(&native, state)?;
    Ok(native)
}

/// Refuses every call after the run was ended; nothing that JavaScript catches leads on from there.
fn go_on(ctx: &Ctx<'_>, state: &State) -> Result<()> {
    if state.is_ended() {
        return Err(Exception::throw_internal(ctx, "the call was ended"));
    }
    Ok(())
}

/// Whether the database may be used now (FUN-17).
fn may_use_database(ctx: &Ctx<'_>, state: &State) -> Result<()> {
    go_on(ctx, state)?;
    match state.call().phase {
        Phase::Running => Ok(()),
        Phase::Settled => Err(Exception::throw_message(ctx, "ctx.db was used after the function returned.")),
        Phase::Loading | Phase::Idle => {
            Err(Exception::throw_message(ctx, "ctx.db works inside a function, not while its module loads."))
        }
    }
}
