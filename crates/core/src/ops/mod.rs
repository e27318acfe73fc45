//! Op-log sync: every device writes ops into a log of its own and offline, a hub numbers them as they arrive, and every
//! store that holds the same ops holds the same entities (ops specification). The same engine runs on hub and spoke.

pub mod append;
pub mod compact;
pub mod conflict;
pub mod effect;
pub mod entity;
pub mod epoch;
mod hub_clock;
mod intake;
pub mod merge;
pub mod meta;
mod origins;
mod prefixes;
pub mod pull;
pub mod push;
mod pushing;
pub mod quarantine;
mod refusal;
pub mod release;
pub mod resolve;
mod role;
pub mod row;
pub mod schema;
pub mod shim;
pub mod snapshot;
pub mod spoke;
pub mod stamp;
pub mod stats;
mod texts;

pub use effect::{OpsEffect, PublishedOp};
pub use prefixes::Prefixes;
pub use refusal::OpsRefusal;
pub use role::StoreRole;
pub use texts::Texts;
