//! What a developer decides where a change of the schema would have to be guessed, or loses something (FUN-63 to FUN-66):
//! as flags, or asked on the terminal.

use std::collections::{BTreeMap, BTreeSet};

use ferry_client::functions::PlanQuestion;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{failure::Failure, output, prompt};

/// The flags.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct DecisionFlags {
    /// What has another name now: users.name=users.full_name, or users=people
    #[arg(long, value_name = "OLD=NEW")]
    rename: Vec<String>,
    /// What is gone, and was not renamed: users.name
    #[arg(long, value_name = "COLUMN")]
    drop: Vec<String>,
    /// The value of rows that lack one: users.age=0, as JSON
    #[arg(long, value_name = "COLUMN=JSON")]
    backfill: Vec<String>,
    /// The type that values are converted to: users.zip=text
    #[arg(long, value_name = "COLUMN=TYPE")]
    cast: Vec<String>,
    /// Let filled tables and columns go
    #[arg(long)]
    pub(crate) allow_destructive: bool,
}

/// Decisions, as the hub takes them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Decisions {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) renames: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) backfills: BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) casts: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) drops: BTreeSet<String>,
}

impl DecisionFlags {
    pub(crate) fn read(&self) -> Result<Decisions, Failure> {
        let mut decisions = Decisions { drops: self.drop.iter().cloned().collect(), ..Decisions::default() };
        for text in &self.rename {
            let (from, to) = pair(text, "--rename", "users.name=users.full_name")?;
            decisions.renames.insert(from, to);
        }
        for text in &self.cast {
            let (column, kind) = pair(text, "--cast", "users.zip=text")?;
            decisions.casts.insert(column, kind);
        }
        for text in &self.backfill {
            let (column, json) = pair(text, "--backfill", "users.age=0")?;
            let value = serde_json::from_str(&json).map_err(|_| {
                let hint = Value::from(json.as_str());
                Failure::Usage(format!("--backfill {column}: {json} is no JSON; a text is written {hint}"))
            })?;
            decisions.backfills.insert(column, value);
        }
        Ok(decisions)
    }
}

fn pair(text: &str, flag: &str, example: &str) -> Result<(String, String), Failure> {
    let parts = text.split_once('=').map(|(left, right)| (left.trim().to_owned(), right.trim().to_owned()));
    parts
        .filter(|(left, right)| !left.is_empty() && !right.is_empty())
        .ok_or_else(|| Failure::Usage(format!("{flag} {text}: it is written as {example}")))
}

impl Decisions {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes others in; they win.
    pub(crate) fn extend(&mut self, others: Self) {
        self.renames.extend(others.renames);
        self.backfills.extend(others.backfills);
        self.casts.extend(others.casts);
        self.drops.extend(others.drops);
    }

    pub(crate) fn to_json(&self) -> Value {
        serde_json::to_value(self).expect("BUG: names and values are JSON")
    }

    /// Asks on the terminal what must be decided; `None`: it was decided not to go on. The flag is whether something may
    /// be lost.
    pub(crate) async fn ask(&mut self, questions: &[PlanQuestion]) -> Result<Option<bool>, Failure> {
        let mut loses = false;
        for question in questions {
            match question {
                PlanQuestion::Rename { from, to } => self.ask_rename(from, to).await?,
                PlanQuestion::Required { column, rows } => {
                    let asked = format!("{column} needs a value for {rows} rows that are there (JSON)");
                    let typed = prompt::line_or(&asked, "").await?;
                    let Ok(value) = serde_json::from_str(&typed) else {
                        output::note(format_args!("{typed:?} is no JSON; a text is written {:?}", "text"));
                        return Ok(None);
                    };
                    self.backfills.insert(column.clone(), value);
                }
                PlanQuestion::Cast { column, from, to, rows: 0 } => {
                    if !prompt::yes(&format!("Convert {column} from {from} to {to}?")).await? {
                        return Ok(None);
                    }
                    self.casts.insert(column.clone(), to.clone());
                }
                PlanQuestion::Cast { column, from, to, rows } => {
                    output::note(format_args!(
                        "{column}: {rows} rows would lose something from {from} to {to}: change them first"
                    ));
                    return Ok(None);
                }
                PlanQuestion::Loss { .. } => loses = true,
                PlanQuestion::Impossible { message } => {
                    output::note(message);
                    return Ok(None);
                }
            }
        }
        if loses && !prompt::yes(&format!("This loses {}. Go on?", losses(questions))).await? {
            return Ok(None);
        }
        Ok(Some(loses))
    }

    async fn ask_rename(&mut self, from: &str, to: &[String]) -> Result<(), Failure> {
        let mut choices: Vec<String> = to.iter().map(|to| format!("renamed to {to}")).collect();
        choices.push("dropped".to_owned());
        let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
        let chosen = prompt::choice(&format!("{from} is gone: was it"), &choices).await?;
        match to.get(chosen) {
            Some(to) => drop(self.renames.insert(from.to_owned(), to.clone())),
            None => drop(self.drops.insert(from.to_owned())),
        }
        Ok(())
    }
}

fn losses(questions: &[PlanQuestion]) -> String {
    let all = questions.iter().filter_map(|question| match question {
        PlanQuestion::Loss { what, count } => Some(format!(
            "{what} ({} {})",
            output::count(*count),
            if *count == 1 { "value" } else { "values" }
        )),
        _ => None,
    });
    all.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: FUN-65
    #[test]
    fn flags_are_read_as_the_hub_takes_them() {
        let flags = DecisionFlags {
            rename: vec!["users.name = users.full_name".into()],
            drop: vec!["users.zip".into()],
            backfill: vec!["users.age=0".into(), "users.tag=\"a=b\"".into()],
            cast: vec!["users.n=text".into()],
            allow_destructive: false,
        };
        let expected = serde_json::json!({
            "renames": { "users.name": "users.full_name" }, "drops": ["users.zip"],
            "backfills": { "users.age": 0, "users.tag": "a=b" }, "casts": { "users.n": "text" },
        });
        assert_eq!(flags.read().unwrap().to_json(), expected);
        let wrong = DecisionFlags { backfill: vec!["users.tag=abc".into()], ..DecisionFlags::default() };
        assert!(matches!(wrong.read(), Err(Failure::Usage(text)) if text.contains("\"abc\"")));
    }
}
