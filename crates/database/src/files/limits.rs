//! How many databases may be open.

use super::{CONNECTION_DESCRIPTORS, SHARED_DESCRIPTORS};

/// What one open database takes of the memory, its page caches filled: the estimate by which memory bounds their number.
const DATABASE_BYTES: u64 = 1 << 20;
/// Share of the memory that open databases may take.
const MEMORY_DIVISOR: u64 = 4;
/// Descriptors without which a single database could not be worked with.
const DESCRIPTORS_MIN: usize = 32;

/// Bounds on open databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimits {
    /// Databases with any file open.
    pub databases: usize,
    /// Descriptors of all their files.
    pub descriptors: usize,
}

impl FileLimits {
    /// For programs that open few.
    pub const AMPLE: Self = Self { databases: 1 << 20, descriptors: 1 << 24 };

    /// The bounds that follow from the setting, the descriptors for databases, and the memory of the machine.
    #[must_use]
    pub fn of(max_open_databases: Option<u64>, descriptors: u64, memory_bytes: u64) -> Self {
        let each = u64::from(SHARED_DESCRIPTORS + CONNECTION_DESCRIPTORS);
        let derived = (memory_bytes / MEMORY_DIVISOR / DATABASE_BYTES).max(1);
        let wanted = max_open_databases.unwrap_or(derived);
        let databases = wanted.min((descriptors / each).max(1));
        if max_open_databases.is_some_and(|wanted| wanted > databases) {
            tracing::warn!(
                wanted,
                databases,
                "max_open_databases is more than the limit of open files allows: raise it (ulimit -n)"
            );
        }
        let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX).min(1 << 24);
        Self { databases: size(databases), descriptors: size(descriptors).max(DESCRIPTORS_MIN) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_memory_and_the_setting_bound_open_databases() {
        let databases = |setting, descriptors, memory| FileLimits::of(setting, descriptors, memory).databases;
        assert_eq!(databases(None, 448, 24 << 30), 149);
        assert_eq!(databases(None, 1 << 20, 24 << 30), 6144);
        assert_eq!(databases(None, 1 << 20, 1 << 30), 256);
        assert_eq!(databases(Some(20), 448, 24 << 30), 20);
        assert_eq!(databases(Some(20_000), 448, 24 << 30), 149);
        assert_eq!(databases(Some(20_000), 1 << 20, 1 << 30), 20_000);
        assert_eq!(FileLimits::of(None, 1, 0), FileLimits { databases: 1, descriptors: DESCRIPTORS_MIN });
    }
}
