//! The only unsafe code of Ferry: calls into C that no crate wraps.
#![allow(unsafe_code, reason = "the one place for it")]

/// Gives all free pages of the system's allocator back to the system.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn trim() {
    // SAFETY: the declaration is glibc's; the function takes any number and may be called from any thread.
    unsafe extern "C" {
        safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
    }
    malloc_trim(0);
}
