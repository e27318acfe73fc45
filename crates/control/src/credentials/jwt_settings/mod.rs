//! The JWT settings of a database: shown, set, tried out (JWT-03).

pub(crate) mod get;
pub(crate) mod set;
pub(crate) mod test;
