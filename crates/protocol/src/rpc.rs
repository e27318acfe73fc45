//! Messages and service stubs of the admin services, generated from `proto/`. The only place that names the
//! code generator's output, so that its pre-1.0 changes stay in one file.

#[allow(missing_docs, rust_2018_idioms, elided_lifetimes_in_paths, unused_qualifications, unreachable_pub)]
#[allow(clippy::all, clippy::pedantic, clippy::restriction)]
mod generated {
    connectrpc::include_generated!();
}

pub use generated::{edgereplica, ferry};
