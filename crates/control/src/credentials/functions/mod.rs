//! Who calls functions of a database, and what they are given: the mode of their auth, keys of the database's own,
//! secrets (functions.md, 3.6). Setting them is for whoever may administer functions.

pub(crate) mod authenticate;
pub(crate) mod change;
pub(crate) mod import_key;
pub(crate) mod keys;
pub(crate) mod reseal;
pub(crate) mod rotate_key;
pub(crate) mod set_auth;
pub(crate) mod set_secrets;
pub(crate) mod sign;
pub(crate) mod verify;
pub(crate) mod view;
