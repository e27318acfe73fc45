//! The database that credentials mean which name none: JWTs and the anonymous caller of `--dev`
//! (control.md, 2.5). The setting is an id, or a name that only one database of the hub has.

use std::collections::HashMap;

use ferry_types::DatabaseId;

use crate::directory::entries::DatabaseEntry;

/// The setting, resolved.
#[derive(Default)]
pub(crate) enum DefaultDatabase {
    /// There is none.
    #[default]
    Unset,
    Id(DatabaseId),
    Named {
        name: Box<str>,
        /// The only database of that name; `None` while there is none or more than one.
        found: Option<DatabaseId>,
    },
}

impl DefaultDatabase {
    /// What the setting says, looked up among `databases`.
    pub(crate) fn of_setting(text: &str, databases: &HashMap<DatabaseId, DatabaseEntry>) -> Self {
        match text.parse() {
            Ok(id) => Self::Id(id),
            Err(_) => Self::Named { name: text.into(), found: only_one_named(text, databases) },
        }
    }

    /// Its id; whether it still exists is not known here.
    pub(crate) const fn id(&self) -> Option<DatabaseId> {
        match self {
            Self::Unset => None,
            Self::Id(id) => Some(*id),
            Self::Named { found, .. } => *found,
        }
    }

    /// Follows a database that appeared under `name`, lost it, or went with it.
    pub(crate) fn follow(&mut self, changed: &str, databases: &HashMap<DatabaseId, DatabaseEntry>) {
        if let Self::Named { name, found } = self
            && name.as_ref() == changed
        {
            *found = only_one_named(name, databases);
        }
    }
}

fn only_one_named(name: &str, databases: &HashMap<DatabaseId, DatabaseEntry>) -> Option<DatabaseId> {
    let mut named = databases.values().filter(|entry| entry.name.as_ref() == name);
    let first = named.next()?;
    if named.next().is_some() {
        tracing::warn!(
            default_database = name,
            "more than one database has this name, so none is the default: set default_database to an id"
        );
        return None;
    }
    Some(first.id)
}
