//! The control plane: accounts, databases, credentials, HTTP, configuration, start and stop.

mod accounts;
mod bodies;
mod budgets;
mod connections;
mod cors;
mod databases;
mod durability;
mod http;
mod jwt;
mod keys;
mod kinds;
mod late;
mod membership;
mod narrowed;
mod oauth;
mod open_databases;
mod openid;
mod operator;
mod orgs;
mod passwords;
mod revocation;
mod serving;
mod startup;
mod team;
mod tokens;
pub(crate) mod transports;
