//! The `ferry` binary of the same build, for benchmarks that measure it as a process of its own.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

/// The binary of the same profile beside this one, built if need be; `FERRY_BIN` names another one.
pub(crate) fn ferry() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> =
        LazyLock::new(|| std::env::var_os("FERRY_BIN").map_or_else(build, PathBuf::from));
    &PROGRAM
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let built =
        Command::new(cargo).args(["build", "--profile", profile, "--quiet", "--bin", "ferry"]).status();
    assert!(built.is_ok_and(|status| status.success()), "cargo build --bin ferry failed");
    let own = std::env::current_exe().expect("the path of this program is known");
    own.with_file_name("ferry")
}
