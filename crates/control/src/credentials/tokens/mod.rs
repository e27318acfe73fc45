//! Sync tokens: what a session hands to an app. Issued, listed, revoked one by one or all of a database.

pub(crate) mod issue;
pub(crate) mod list;
pub(crate) mod revoke;
pub(crate) mod revoke_all;
