//! Names that are kept for later, so that a client of a newer hub is told what it met (control.md, 2.3).

use ferry_control::Access;
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Reason, Result};

use crate::rpc::Call;

macro_rules! reserved {
    ($($name:ident($Request:ident) -> $Response:ident;)+) => {$(
        pub(super) async fn $name(call: &Call<'_>, _: wire::$Request) -> Result<wire::$Response, Error> {
            call.session(Access::Full)?;
            Err(Error::new(Reason::NotYet, "this hub does not offer it yet: ferry fork copies a database, ferry backup restore brings back what it was"))
        }
    )+};
}

reserved! {
    fork_database(ForkDatabaseRequest) -> ForkDatabaseResponse;
    reset_database(ResetDatabaseRequest) -> ResetDatabaseResponse;
}
