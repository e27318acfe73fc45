//! The `ferry` binary of the same build, for benchmarks that measure it as a process of its own.

use std::{path::PathBuf, process::Command};

/// The release binary beside this one, built if need be.
pub(crate) fn ferry() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo).args(["build", "--release", "--quiet", "--bin", "ferry"]).status();
    assert!(built.is_ok_and(|status| status.success()), "cargo build --release --bin ferry failed");
    let own = std::env::current_exe().expect("the path of this program is known");
    own.with_file_name("ferry")
}
