//! The commands, one file each: arguments as typed, then what is done and printed.

pub(crate) mod account;
pub(crate) mod admin;
pub(crate) mod audit;
pub(crate) mod clone;
pub(crate) mod completions;
pub(crate) mod db;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod invite;
pub(crate) mod jwt;
pub(crate) mod key;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod member;
pub(crate) mod oauth;
pub(crate) mod org;
pub(crate) mod password;
pub(crate) mod profile;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod serve;
pub(crate) mod session;
pub(crate) mod signup;
pub(crate) mod sync;
pub(crate) mod token;
pub(crate) mod whoami;
