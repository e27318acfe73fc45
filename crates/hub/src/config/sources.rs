//! Step one of configuration: where each value came from. Flag > `FERRY_*` > legacy variable > `ferry.toml`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use super::{ConfigError, Key, find, keys};

/// Variables of the `ferry` command line and of pages' builds (`@ferry/client/vite`), which are no settings of the hub.
const CLIENT_VARIABLES: &[&str] = &[
    "FERRY_SERVER",
    "FERRY_PROFILE",
    "FERRY_ORG",
    "FERRY_TOKEN",
    "FERRY_SYNC_TOKEN",
    "FERRY_PASSWORD",
    "FERRY_NEW_PASSWORD",
    "FERRY_CACERT",
    "FERRY_CONFIG_DIR",
    "FERRY_OPERATOR_TOKEN",
    "FERRY_CONFIG",
    "FERRY_DEV",
    "FERRY_FAULT",
    "FERRY_BIN",
    "FERRY_URL",
    "FERRY_KEY",
];

/// A value as written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The text as written.
    pub value: String,
    /// For messages: `--listen`, `FERRY_LISTEN` or `ferry.toml: listen`.
    pub source: String,
}

/// The settings that were given, by name.
pub type Raw = BTreeMap<&'static str, Setting>;

/// Settings of `ferry serve` as the command line gives them.
#[derive(Clone, Debug, Default)]
pub struct ServeArgs {
    /// `--dev`.
    pub dev: bool,
    /// `--config FILE`.
    pub config: Option<PathBuf>,
    /// Flags by setting name.
    pub flags: BTreeMap<&'static str, String>,
}

impl clap::Args for ServeArgs {
    fn augment_args(mut command: clap::Command) -> clap::Command {
        command =
            command
                .arg(clap::Arg::new("dev").long("dev").action(clap::ArgAction::SetTrue).help(
                    "Development mode: user dev@localhost, database main, anonymous access, loopback only",
                ))
                .arg(
                    clap::Arg::new("config")
                        .long("config")
                        .value_name("FILE")
                        .value_parser(clap::value_parser!(PathBuf))
                        .help("Configuration file [default: ./ferry.toml if it exists]"),
                );
        for key in keys().filter(|key| !key.secret) {
            let environment = format!("{} [env: {}]", key.help, key.env());
            command = command
                .arg(clap::Arg::new(key.name).long(key.flag()).value_name(key.value_name).help(environment));
        }
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let given = keys()
            .filter(|key| !key.secret)
            .filter_map(|key| matches.get_one::<String>(key.name).map(|value| (key.name, value.clone())));
        Ok(Self {
            dev: matches.get_flag("dev"),
            config: matches.get_one("config").cloned(),
            flags: given.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Merges all sources. `environment` holds the process's variables.
///
/// # Errors
/// For an unreadable file and for keys that no setting has.
pub fn gather(args: &ServeArgs, environment: &BTreeMap<String, String>) -> Result<Raw, ConfigError> {
    let mut raw = from_file(args.config.as_deref())?;
    let lookup = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    for key in keys() {
        let ours = key.env();
        let variable = std::iter::once(ours.as_str())
            .chain(key.legacy.iter().copied())
            .find_map(|name| lookup(name).map(|value| (name, value)));
        if let Some((name, value)) = variable {
            raw.insert(key.name, Setting { value: value.clone(), source: name.to_owned() });
        }
    }
    for name in environment.keys().filter(|name| name.starts_with("FERRY_")) {
        let known = CLIENT_VARIABLES.contains(&name.as_str()) || keys().any(|key| key.env() == *name);
        if !known && lookup(name).is_some() {
            return Err(unknown("the environment", name, keys().map(Key::env)));
        }
    }
    for (name, value) in &args.flags {
        let key = find(name).expect("BUG: flags are made from the table");
        raw.insert(key.name, Setting { value: value.clone(), source: format!("--{}", key.flag()) });
    }
    Ok(raw)
}

fn from_file(path: Option<&Path>) -> Result<Raw, ConfigError> {
    let chosen = path.unwrap_or(Path::new("ferry.toml"));
    let text = match fs::read_to_string(chosen) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && path.is_none() => return Ok(Raw::new()),
        Err(error) => return Err(ConfigError(format!("{}: {error}", chosen.display()))),
    };
    let file = chosen.display().to_string();
    let table: toml::Table = text.parse().map_err(|error| ConfigError(format!("{file}: {error}")))?;
    let mut raw = Raw::new();
    flatten("", &table, &file, &mut raw)?;
    Ok(raw)
}

fn flatten(prefix: &str, table: &toml::Table, file: &str, raw: &mut Raw) -> Result<(), ConfigError> {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        if let toml::Value::Table(section) = value
            && prefix.is_empty()
        {
            flatten(&format!("{name}."), section, file, raw)?;
            continue;
        }
        let Some(key) = find(&name) else {
            return Err(unknown(file, &name, keys().map(|key| key.name.to_owned())));
        };
        let source = format!("{file}: {name}");
        let value = text_of(value)
            .ok_or_else(|| ConfigError(format!("{source}: expected a plain value or a list of them")))?;
        if !value.is_empty() {
            raw.insert(key.name, Setting { value, source });
        }
    }
    Ok(())
}

/// The value as the environment would spell it; lists joined by commas.
fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(truth) => Some(truth.to_string()),
        toml::Value::Array(items) => {
            items.iter().map(text_of).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}

fn unknown(place: &str, name: &str, candidates: impl Iterator<Item = String>) -> ConfigError {
    let nearest = candidates.map(|known| (distance(name, &known), known)).min();
    let advice = match nearest {
        Some((steps, known)) if steps <= 3 => format!("; did you mean {known}?"),
        _ => "; `ferry serve --help` lists all settings".to_owned(),
    };
    ConfigError(format!("{place}: unknown setting {name}{advice}"))
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn flag_beats_own_variable_beats_legacy_variable_and_empty_is_unset() {
        let both = environment(&[
            ("SESSION_TTL_SECONDS", "1"),
            ("FERRY_SESSION_TTL_SECONDS", "2"),
            ("FERRY_LISTEN", ""),
        ]);
        let raw = gather(&ServeArgs::default(), &both).unwrap();
        assert_eq!(raw["session_ttl_seconds"].source, "FERRY_SESSION_TTL_SECONDS");
        assert!(!raw.contains_key("listen"));
        let args =
            ServeArgs { flags: [("session_ttl_seconds", "3".to_owned())].into(), ..ServeArgs::default() };
        assert_eq!(gather(&args, &both).unwrap()["session_ttl_seconds"].value, "3");
    }

    #[test]
    fn unknown_keys_are_named_with_a_suggestion() {
        let error = gather(&ServeArgs::default(), &environment(&[("FERRY_LISTN", "x")])).unwrap_err();
        assert!(error.0.contains("FERRY_LISTN") && error.0.contains("did you mean FERRY_LISTEN?"), "{error}");
    }

    #[test]
    fn the_file_has_sections_for_models() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ferry.toml");
        fs::write(&path, "listen = '127.0.0.1:1'\n[pages]\nstage_hours = 2\n").unwrap();
        let args = ServeArgs { config: Some(path.clone()), ..ServeArgs::default() };
        let raw = gather(&args, &BTreeMap::new()).unwrap();
        assert_eq!(raw["pages.stage_hours"].value, "2");
        fs::write(&path, "[pages]\nstage_ours = 2\n").unwrap();
        assert!(gather(&args, &BTreeMap::new()).unwrap_err().0.contains("did you mean pages.stage_hours?"));
    }
}
