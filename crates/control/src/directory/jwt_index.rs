//! Which database takes which JWTs, in memory.

use std::{collections::HashMap, sync::Arc};

use ferry_auth::jwt::{JwtSettings, JwtSettingsText, UnverifiedJwt};
use ferry_http_client::Reach;
use ferry_types::DatabaseId;

/// Settings in force.
#[derive(Clone, Debug)]
pub(crate) struct JwtEntry {
    pub(crate) settings: Arc<JwtSettings>,
    /// Another number whenever they are set: what rests on older ones ends.
    pub(crate) version: u64,
    /// Where their `jwks_url` may lead.
    pub(crate) reach: Reach,
}

/// The settings in force, by database and by issuer.
#[derive(Default)]
pub(crate) struct JwtIndex {
    by_database: HashMap<DatabaseId, JwtEntry>,
    /// Under `None` those that take any issuer.
    by_issuer: HashMap<Option<Box<str>>, Vec<DatabaseId>>,
    /// The operator's, for the default database if it has none of its own.
    operator: Option<JwtEntry>,
    version: u64,
}

impl JwtIndex {
    /// Sets what the operator configured.
    pub(crate) fn set_operator(&mut self, settings: Arc<JwtSettings>) {
        self.operator = Some(JwtEntry { settings, version: 0, reach: Reach::Anywhere });
    }

    /// Sets or removes the settings of a database.
    pub(crate) fn set(&mut self, id: DatabaseId, settings: Option<Arc<JwtSettings>>) {
        self.version += 1;
        if let Some(old) = self.by_database.remove(&id) {
            let issuer = old.settings.issuer().map(Box::from);
            if let Some(ids) = self.by_issuer.get_mut(&issuer) {
                ids.retain(|other| *other != id);
                if ids.is_empty() {
                    self.by_issuer.remove(&issuer);
                }
            }
        }
        if let Some(settings) = settings {
            self.by_issuer.entry(settings.issuer().map(Box::from)).or_default().push(id);
            let entry = JwtEntry { settings, version: self.version, reach: Reach::PublicOnly };
            self.by_database.insert(id, entry);
        }
    }

    /// Gives the settings in force for a database another version, so that what rests on them ends.
    pub(crate) fn renew(&mut self, id: DatabaseId, default_database: Option<DatabaseId>) {
        self.version += 1;
        let operators = self.operator.as_mut().filter(|_| default_database == Some(id));
        if let Some(entry) = self.by_database.get_mut(&id).or(operators) {
            entry.version = self.version;
        }
    }

    /// The settings of a database.
    pub(crate) fn of(&self, id: DatabaseId, default_database: Option<DatabaseId>) -> Option<&JwtEntry> {
        let operators = self.operator.as_ref().filter(|_| default_database == Some(id));
        self.by_database.get(&id).or(operators)
    }

    /// Whether a database has settings of its own.
    pub(crate) fn has_own(&self, id: DatabaseId) -> bool {
        self.by_database.contains_key(&id)
    }

    /// The only database whose own settings ask for what the token claims.
    pub(crate) fn only_match(&self, jwt: &UnverifiedJwt<'_>) -> Option<DatabaseId> {
        let named = jwt.issuer().and_then(|issuer| self.by_issuer.get(&Some(issuer.into())));
        let any = self.by_issuer.get(&None);
        let mut fitting = [named, any]
            .into_iter()
            .flatten()
            .flatten()
            .filter(|id| self.by_database.get(id).is_some_and(|entry| jwt.is_meant_for(&entry.settings)));
        fitting.next().copied().filter(|_| fitting.next().is_none())
    }

    /// Changes with every change of settings.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    /// All settings in force.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &JwtEntry> {
        self.by_database.values().chain(&self.operator)
    }
}

/// The settings of the database as they were stored.
///
/// # Errors
/// When they are such as this version does not write.
pub(crate) fn stored(id: DatabaseId, text: &str) -> ferry_sqlite::Result<Arc<JwtSettings>> {
    let damaged = |why: String| ferry_sqlite::Error::Damaged(format!("JWT settings of {id}: {why}"));
    let text: JwtSettingsText = serde_json::from_str(text).map_err(|error| damaged(error.to_string()))?;
    JwtSettings::try_from(&text).map(Arc::new).map_err(|error| damaged(error.to_string()))
}
