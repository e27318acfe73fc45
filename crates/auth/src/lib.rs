//! Credentials: token claims, macaroons and their caveats, the key ring, password hashes, and what a verified
//! credential may do. Nothing here reads a clock, draws randomness or opens a file: all of it is handed in.

pub mod api_key;
pub mod budget;
pub mod caveat;
pub mod claims;
pub mod context;
pub mod function_auth;
pub mod jwt;
pub mod keyring;
pub mod macaroon;
pub mod oauth;
pub mod password;
pub mod principal;
pub mod role;
pub mod sealing;
pub mod token;
mod token_error;

pub use budget::ByteBudget;
pub use caveat::{Caveat, Restrictions};
pub use claims::{Claims, Grant, Purpose};
pub use context::{AuthContext, KeyRights};
pub use function_auth::{FunctionAuth, UnknownFunctionAuth};
pub use keyring::{KeyRing, SigningKey, StoredKeys};
pub use principal::{CredentialKind, JwtSubject, JwtTrust, Principal, TokenHolder, jwt_owner};
pub use role::Role;
pub use token::Verified;
pub use token_error::TokenError;
