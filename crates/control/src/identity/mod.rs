//! Who people are: accounts, organisations and their members, invitations, sessions, passwords, logins.

pub(crate) mod accounts;
pub(crate) mod audit_trail;
pub(crate) mod codes;
pub(crate) mod email;
pub(crate) mod first_operator;
pub(crate) mod invitations;
pub(crate) mod login;
pub(crate) mod members;
pub(crate) mod new_user;
pub(crate) mod oauth;
pub(crate) mod operator_code;
pub(crate) mod orgs;
pub(crate) mod owner_mail;
pub(crate) mod password_proof;
pub(crate) mod passwords;
pub(crate) mod sessions;
pub(crate) mod signup;
pub(crate) mod users;
pub(crate) mod verification;
pub(crate) mod whoami;
