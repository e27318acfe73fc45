//! Op-log sync: every device writes ops into a log of its own and offline, a hub numbers them as they arrive, and every
//! store that holds the same ops holds the same entities (ops specification). The same engine runs on hub and spoke.

pub mod append;
pub mod conflict;
pub mod effect;
pub mod entity;
pub mod merge;
pub mod meta;
mod prefixes;
mod refusal;
pub mod resolve;
mod role;
pub mod row;
pub mod schema;
mod texts;

pub use effect::{OpsEffect, PublishedOp};
pub use prefixes::Prefixes;
pub use refusal::OpsRefusal;
pub use role::StoreRole;
pub use texts::Texts;
