//! The engines of `ferry-core` on native SQLite.

mod records;
