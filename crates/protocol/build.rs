//! Compiles the .proto files with protox (no protoc needed) and generates messages and service stubs.

use std::{env, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 4] = [
    "edgereplica/admin/v1/admin.proto",
    "ferry/admin/v1/admin.proto",
    "ferry/auth/v1/claims.proto",
    "ferry/otlp/v1/trace.proto",
];

fn main() {
    let proto = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"))
        .join("../../proto");
    println!("cargo:rerun-if-changed={}", proto.display());
    let descriptors = protox::compile(FILES, [&proto]).expect("proto/ compiles");
    let path = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("descriptors.bin");
    fs::write(&path, descriptors.encode_to_vec()).expect("OUT_DIR is writable");
    connectrpc_build::Config::new()
        .descriptor_set(path)
        .files(&FILES)
        .include_file("_connectrpc.rs")
        // It would name descriptors.bin, which is newer than every run of this script: each build would run it again.
        .emit_rerun_directives(false)
        .compile()
        .expect("code generation");
}
