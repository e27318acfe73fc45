//! Functions: what a deployment is, which results are live, and who has to be told of a commit (functions specification).

pub mod deploy;
pub mod live;
pub mod schema;
