//! The control plane: accounts, databases, credentials, HTTP, configuration, start and stop.

mod accounts;
mod budgets;
mod cors;
mod databases;
mod durability;
mod http;
mod jwt;
mod keys;
mod membership;
mod oauth;
mod operator;
mod passwords;
mod revocation;
mod serving;
mod startup;
mod tokens;
mod transports;
