//! What callers prove themselves with, and what it lets them do: tokens, API keys, JWTs, signing keys, budgets, limits.

pub(crate) mod api_keys;
pub(crate) mod authenticate;
pub(crate) mod bearer;
pub(crate) mod budgets;
pub(crate) mod carried;
pub(crate) mod functions;
pub(crate) mod jwks;
pub(crate) mod jwt;
pub(crate) mod jwt_settings;
pub(crate) mod key_ring;
pub(crate) mod label;
pub(crate) mod macaroons;
pub(crate) mod operator_token;
mod page_session;
pub(crate) mod proof_cache;
pub(crate) mod recheck;
pub(crate) mod requester;
pub(crate) mod resolve;
pub(crate) mod right;
pub(crate) mod secret_files;
pub(crate) mod session;
pub(crate) mod signing_keys;
pub(crate) mod throttling;
pub(crate) mod tokens;
pub(crate) mod watch;
