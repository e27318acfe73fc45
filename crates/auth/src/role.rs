//! Roles of organisation members, and what each may do (ORG-04).

use std::{fmt, str::FromStr};

use ferry_types::{Op, OpSet};

/// A member's role in one organisation. The order is the order of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Lists, and mints tokens that read.
    Viewer,
    /// Also mints tokens that write.
    Member,
    /// Also mints tokens for admin APIs, and manages databases, members and keys.
    Admin,
}

impl Role {
    /// The word on the wire and in storage.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }

    /// The operations that tokens of such a member may carry.
    #[must_use]
    pub fn ops(self) -> OpSet {
        match self {
            Self::Viewer => OpSet::of(&[Op::Read]),
            Self::Member => OpSet::of(&[Op::Read, Op::Write]),
            Self::Admin => OpSet::ALL,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word is no role.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("role must be admin, member or viewer")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        match text {
            "viewer" => Ok(Self::Viewer),
            "member" => Ok(Self::Member),
            "admin" => Ok(Self::Admin),
            _ => Err(UnknownRole),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: ORG-04
    #[test]
    fn each_role_adds_one_operation() {
        assert_eq!(Role::Viewer.ops().to_string(), "read");
        assert_eq!(Role::Member.ops().to_string(), "read,write");
        assert_eq!(Role::Admin.ops().to_string(), "read,write,admin");
        assert!(Role::Viewer < Role::Member && Role::Member < Role::Admin);
        assert_eq!("root".parse::<Role>(), Err(UnknownRole));
        for role in [Role::Viewer, Role::Member, Role::Admin] {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
    }
}
