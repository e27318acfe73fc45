//! Who calls functions (functions specification, 2.1, 3.6): what their credential says, what they may do, and the keys by
//! which a database knows its own tokens.

mod caller;
mod enter;
mod jwks;
mod keys;
mod refusal;

pub(in crate::functions) use caller::FunctionsCaller;
pub(in crate::functions) use enter::{enter, enter_admin};
pub(in crate::functions) use jwks::jwks;
pub(in crate::functions) use keys::keys;
pub(in crate::functions) use refusal::EntryRefusal;
