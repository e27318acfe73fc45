//! The migration file that a change of the schema needs, if no file does it yet; what must be decided for it is asked.

use std::io::{self, IsTerminal as _};

use ferry_client::functions::{FunctionsClient, PlanQuestion};
use ferry_core::functions::schema::SchemaPlan;
use serde_json::{Value, json};

use crate::{
    decisions::Decisions,
    deploy_words,
    failure::Failure,
    project::{
        difference::{self, Difference},
        migrations::{Migration, Migrations},
    },
};

/// What it is made of.
pub(crate) struct NextFile<'a> {
    /// The hub that it is for, if one is known: it tells where rows are.
    pub(crate) hub: Option<&'a FunctionsClient>,
    pub(crate) migrations: &'a Migrations,
    pub(crate) schema: Option<&'a Value>,
}

impl NextFile<'_> {
    /// Makes it; `None`: the files lead to the schema.
    pub(crate) async fn make(
        &self,
        mut decisions: Decisions,
        name: Option<&str>,
        json: bool,
    ) -> Result<Option<Migration>, Failure> {
        let mut difference = Difference::of(self.migrations, self.schema)?;
        loop {
            let plan = self.plan(&mut difference, &decisions).await?;
            let questions = difference::questions(&plan);
            if questions.is_empty() {
                if plan.is_empty() {
                    return Ok(None);
                }
                let decided = used(decisions, &plan);
                return difference.migration(&plan, decided, name).map(Some);
            }
            if json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
                return difference::check_decided(&plan)
                    .map(|()| None)
                    .map_err(|failure| deploy_words::explained(failure, json));
            }
            if decisions.ask(&questions).await?.is_none() {
                return Err(Failure::Usage("it was not decided: nothing was done".to_owned()));
            }
        }
    }

    /// What is left to do where tables are filled; where the hub has none of the rows that would need something, without
    /// that.
    async fn plan(
        &self,
        difference: &mut Difference<'_>,
        decisions: &Decisions,
    ) -> Result<SchemaPlan, Failure> {
        let filled = difference.plan(decisions, true)?;
        let is_of_rows = |question: &PlanQuestion| matches!(question, PlanQuestion::Required { .. });
        let (Some(hub), true) = (self.hub, difference::questions(&filled).iter().any(is_of_rows)) else {
            return Ok(filled);
        };
        let base = hub.info().await?.deployment;
        let nothing = json!({ "version": 1 });
        let schema = self.schema.unwrap_or(&nothing);
        let there = hub.plan(base.as_deref(), schema, &decisions.to_json()).await?;
        if there.questions.iter().any(is_of_rows) { Ok(filled) } else { difference.plan(decisions, false) }
    }
}

/// Those that the plan follows.
fn used(mut decisions: Decisions, plan: &SchemaPlan) -> Decisions {
    let is_unused = |from: &String, to: &String| {
        plan.warnings.contains(&format!("rename {from}={to}: nothing to rename"))
    };
    decisions.renames.retain(|from, to| !is_unused(from, to));
    decisions
}
