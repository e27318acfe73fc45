//! How people name databases (CLI-06), and what they may have meant.

use std::{fmt, str::FromStr};

use ferry_types::DatabaseId;

use crate::ClientError;

/// A database as a person names it: id, `name` or `org/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseName {
    /// By id.
    Id(DatabaseId),
    /// By name, in an organisation or the session's own.
    Name {
        /// Id or name of the organisation.
        org: Option<String>,
        /// Name of the database.
        name: String,
    },
}

impl FromStr for DatabaseName {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, ClientError> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        // Names of databases hold no slash; names of organisations may.
        let (org, name) = text.rsplit_once('/').map_or((None, text), |(org, name)| (Some(org), name));
        if name.is_empty() || org == Some("") {
            return Err(ClientError::argument(format!(
                "{text:?} names no database: give its id, its name or organisation/name"
            )));
        }
        Ok(Self::Name { org: org.map(str::to_owned), name: name.to_owned() })
    }
}

impl fmt::Display for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name { org: Some(org), name } => write!(f, "{org}/{name}"),
            Self::Name { org: None, name } => f.write_str(name),
        }
    }
}

/// Names less alike than this are not suggested.
const LIKENESS_MIN: f64 = 0.75;

/// The name most like `name`, if one is like it.
pub fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    names
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_names_and_organisations_are_told_apart() {
        let id = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";
        assert!(matches!(id.parse(), Ok(DatabaseName::Id(_))));
        assert_eq!(
            "a/b team/notes".parse(),
            Ok(DatabaseName::Name { org: Some("a/b team".into()), name: "notes".into() })
        );
        assert_eq!("notes".parse(), Ok(DatabaseName::Name { org: None, name: "notes".into() }));
        for bad in ["", "/", "org/", "/name"] {
            assert!(bad.parse::<DatabaseName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_typo_suggests_the_closest_name() {
        let names = ["notes", "main", "billing"];
        assert_eq!(nearest("ntoes", names.into_iter()), Some("notes"));
        assert_eq!(nearest("Billin", names.into_iter()), Some("billing"));
        assert_eq!(nearest("zzz", names.into_iter()), None);
    }
}
