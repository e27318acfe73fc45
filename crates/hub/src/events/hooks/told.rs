//! Who is told of commits.

use ferry_protocol::events::Hook;

/// Who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::events) enum Told {
    /// The operator's program.
    Program,
    /// A function of the database.
    Function,
}

/// Under which names the positions of both are kept.
pub(in crate::events) const TOLD: [&str; 2] = [Told::Program.as_str(), Told::Function.as_str()];

impl Told {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Program => Hook::OnPushed.as_str(),
            Self::Function => "hooks:onPushed",
        }
    }
}
