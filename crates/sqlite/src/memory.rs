//! Memory that the allocator keeps.

/// Gives free memory back to the system. SQLite's caches of a closed database are free then, but lie between pieces that
/// are still in use, and the system's allocator gives back by itself only what lies at the end of an arena.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    crate::ffi::trim();
}
