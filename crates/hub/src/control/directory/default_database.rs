//! The database that credentials mean which name none: JWTs and the anonymous caller of `--dev`
//! (control.md, 2.5). The setting is an id, or a name that only one database of the hub has.

use std::collections::HashMap;

use ferry_types::DatabaseId;


use crate::config::ConfigError;
use crate::control::{Control, directory::DatabaseEntry};

/// See the module.
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

impl Control {
    /// Refuses a setting that names nothing: whoever is let in by it would meet `database not found` for ever (CFG-07).
    ///
    /// # Errors
    /// When there is no such database, or more than one.
    pub(crate) fn check_default_database(&self) -> Result<(), ConfigError> {
        let Some(setting) = &self.config.default_database else { return Ok(()) };
        let directory = self.state.read();
        if directory.default_database().is_some() {
            return Ok(());
        }
        let count = directory.databases().filter(|entry| entry.name.as_ref() == setting).count();
        Err(ConfigError(if count > 1 {
            format!(
                "default_database {setting:?}: {count} databases have this name; set it to an id (`ferry db list` shows them)"
            )
        } else {
            format!(
                "default_database {setting:?}: no database has this name or id; correct it, or start once without it, \
                 make the database (`ferry db create {setting}`), and set it then"
            )
        }))
    }
}
