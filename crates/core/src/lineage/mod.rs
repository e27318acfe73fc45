//! Whether the files of a hub go on from where its clients last saw them (operate specification, section 3.3). A hub that was
//! put back to an older state by hand shows it by signs that its files bear: `file` is a database's, `record` what lies
//! beside all of them, `verdict` what follows. Whoever reads and writes the files is the caller.

pub mod anchor;
pub mod answer;
pub mod file;
pub mod record;
pub mod verdict;

pub use anchor::TargetAnchor;
pub use answer::LineageAnswer;
pub use file::{FileLineage, FileNote, FileVerdict, KnownFile};
pub use record::{LineageRecord, LineageState};
pub use verdict::{ControlLineage, LineageVerdict, Sign};
