//! Ids, sequence numbers, page numbers, rights, limits and the error table: the words that every other
//! room of Ferry speaks. Nothing here does I/O, reads a clock or draws randomness.

pub mod clock;
pub mod digest;
pub mod error;
pub mod hlc;
pub mod id;
pub mod kind;
pub mod limits;
pub mod page;
mod printable;
pub mod rights;
pub mod run;
pub mod seq;

pub use clock::{Clock, UnixMillis};
pub use digest::{Leaf, Root, Tag};
pub use error::{Code, Error, Reason, Result};
pub use hlc::{Hlc, HlcExhausted, HlcState, OpSeq, OriginId, write_hex};
pub use id::{ApiKeyId, DatabaseId, OrgId, SessionId, TokenId, UserId};
pub use kind::DatabaseKind;
pub use page::{PageCount, PageNo, PageSize};
pub use printable::printable;
pub use rights::{Model, ModelSet, Op, OpSet};
pub use run::{BadRunId, RunId};
pub use seq::Seq;
