//! Who people are: accounts, organisations and their members, invitations, sessions, passwords, logins.

pub(crate) mod account_end;
pub(crate) mod accounts;
pub(crate) mod codes;
pub(crate) mod email;
pub(crate) mod invitations;
pub(crate) mod login;
pub(crate) mod members;
pub(crate) mod new_user;
pub(crate) mod oauth;
pub(crate) mod operator;
pub(crate) mod orgs;
pub(crate) mod password_change;
pub(crate) mod passwords;
pub(crate) mod session_list;
pub(crate) mod sessions;
pub(crate) mod users;
pub(crate) mod whoami;
