//! Deployments of functions on a writer: a backup, then migrations and activation in one transaction in which no foreign
//! key acts (FUN-61, FUN-62, FUN-67, FUN-68).

use std::path::Path;

use ferry_core::functions::{
    deploy::{
        self, Decision, DeclaredNames, DeployRefusal, Deployed, MigrationFile, NewDeployment, WantedSchema,
        plan_of_files,
    },
    schema::{DatabaseSchema, ExistingSchema, Facts, Hints, SchemaPlan},
};
use ferry_types::Seq;

use crate::{
    Error, NativeSql, Result, Transaction, Writer,
    backups::{self, ScratchFile},
    fault, folder,
    tracked::{StatementFailure, run_migration},
};

/// Asked now and then while migrations run: why they may not go on, if they may not. Nothing is changed then.
pub type Watch<'a> = dyn FnMut() -> std::result::Result<(), ferry_types::Error> + 'a;

/// What became of a deployment.
#[derive(Debug)]
pub enum DeployOutcome {
    /// It is made.
    Made(Box<MadeDeployment>),
    /// Nothing is changed.
    Refused(DeployRefusal),
}

/// A deployment that is made.
#[derive(Debug)]
pub struct MadeDeployment {
    /// The commit that it is.
    pub seq: Seq,
    /// What was applied.
    pub deployed: Deployed,
    /// What was decided.
    pub decision: Decision,
    /// The name of the backup, if one was made.
    pub backup: Option<String>,
}

impl Writer {
    /// Makes a deployment; copies of the database go to `backups`. `effect` is what subscribers must learn.
    ///
    /// # Errors
    /// What storage reports; nothing is changed then.
    pub fn deploy<E>(
        &mut self,
        new: &NewDeployment,
        backups: &Path,
        effect: E,
        watch: &mut Watch<'_>,
    ) -> Result<(DeployOutcome, Vec<E>)> {
        let decision = match deploy::decide(&NativeSql(self.connection()), new)? {
            Ok(decision) => decision,
            Err(refusal) => return Ok((DeployOutcome::Refused(refusal), Vec::new())),
        };
        let backup = if decision.needs_backup {
            let time = new.now.to_string().replace(['-', ':'], "");
            Some(backups::make(self.connection(), backups, &format!("{time}_{}", new.id))?)
        } else {
            None
        };
        fault::point("deploy.begin")?;
        let made = self.deploy_decided(new, &decision, effect, watch);
        let forget = |backup: &Option<String>| {
            // It is of what is there anyway.
            if let Some(name) = backup
                && let Err(error) = backups::remove(backups, name)
            {
                tracing::warn!(%error, "the backup of a deployment that was not made stays");
            }
        };
        match made {
            Ok((Ok((seq, deployed)), effects)) => Ok((
                DeployOutcome::Made(Box::new(MadeDeployment { seq, deployed, decision, backup })),
                effects,
            )),
            Ok((Err(refusal), _)) => {
                forget(&backup);
                Ok((DeployOutcome::Refused(refusal), Vec::new()))
            }
            Err(error) => Err(error),
        }
    }

    #[expect(clippy::type_complexity, reason = "used once, above")]
    fn deploy_decided<E>(
        &mut self,
        new: &NewDeployment,
        decision: &Decision,
        effect: E,
        watch: &mut Watch<'_>,
    ) -> Result<(Result<(Seq, Deployed), DeployRefusal>, Vec<E>)> {
        // Inside a transaction the pragma does nothing.
        self.connection().execute_batch("PRAGMA foreign_keys=OFF")?;
        let (mut refused, mut deployed, mut effect) = (None, None, Some(effect));
        let mut answers = self.run_group(&mut [()], |(), transaction: &mut Transaction<'_, E>| {
            match run(transaction.sql(), new, decision, transaction.seq(), watch)? {
                Ok(made) => {
                    deployed = Some(made);
                    effect.take().into_iter().for_each(|effect| transaction.effect(effect));
                    fault::point("deploy.applied")
                }
                Err(refusal) => {
                    refused = Some(refusal);
                    Err(Error::Refused(ferry_types::Error::internal()))
                }
            }
        });
        self.connection().flush_prepared_statement_cache();
        self.connection().execute_batch("PRAGMA foreign_keys=ON")?;
        let answer = answers.pop().unwrap_or_else(|| Err(Error::Damaged("a group without an answer".into())));
        match (answer, refused, deployed) {
            (Err(_), Some(refusal), _) => Ok((Err(refusal), Vec::new())),
            (Err(error), None, _) => Err(error),
            (Ok(applied), _, Some(deployed)) => {
                let seq = applied.seq.ok_or_else(|| Error::Damaged("a deployment took no seq".into()))?;
                Ok((Ok((seq, deployed)), applied.effects))
            }
            (Ok(_), ..) => Err(Error::Damaged("a deployment without an outcome".into())),
        }
    }
}

fn run(
    sql: NativeSql<'_>,
    new: &NewDeployment,
    decision: &Decision,
    seq: Seq,
    watch: &mut Watch<'_>,
) -> Result<Result<Deployed, DeployRefusal>> {
    let mut ended = None;
    let mut may_go_on = || {
        ended = watch().err();
        ended.is_none()
    };
    let ran = deploy::run(&sql, &mut |text: &str| statement(sql, text, &mut may_go_on), new, decision, seq);
    match ended {
        Some(refusal) => Err(Error::Refused(refusal)),
        None => ran,
    }
}

fn statement(
    sql: NativeSql<'_>,
    text: &str,
    may_go_on: &mut dyn FnMut() -> bool,
) -> Result<Result<(), String>> {
    match run_migration(sql, text, may_go_on) {
        Ok(_) => Ok(Ok(())),
        // The transaction is over: nothing may run behind it.
        Err(StatementFailure::Limit(_)) => Err(Error::Refused(ferry_types::Error::internal())),
        Err(StatementFailure::StorageFull) => Err(Error::Io(std::io::ErrorKind::StorageFull.into())),
        Err(failure) => Ok(Err(failure.to_string())),
    }
}

/// What migration files lead to: a database in memory.
pub struct ReplayedFiles(Writer);

impl ReplayedFiles {
    /// Runs all files in their order; `Ok(Err(…))`: why they cannot.
    ///
    /// # Errors
    /// What storage reports.
    pub fn of(files: &[MigrationFile]) -> Result<Result<Self, DeployRefusal>> {
        let mut writer = Writer::in_memory(|_| Ok(()))?;
        writer.connection().execute_batch("PRAGMA foreign_keys=OFF")?;
        let mut refused = None;
        let mut answers = writer.run_group(&mut [()], |(), transaction: &mut Transaction<'_, ()>| {
            let sql = transaction.sql();
            match deploy::replay(&sql, &mut |text: &str| statement(sql, text, &mut || true), files)? {
                Ok(()) => Ok(()),
                Err(refusal) => {
                    refused = Some(refusal);
                    Err(Error::Refused(ferry_types::Error::internal()))
                }
            }
        });
        if let Some(refusal) = refused {
            return Ok(Err(refusal));
        }
        answers.pop().unwrap_or_else(|| Err(Error::Damaged("a group without an answer".into())))?;
        writer.connection().flush_prepared_statement_cache();
        Ok(Ok(Self(writer)))
    }

    /// What is left to do to come to `target`. `assumes_rows`: tables are taken to be filled.
    ///
    /// # Errors
    /// What storage reports.
    pub fn plan(
        &mut self,
        declared: &DeclaredNames,
        target: &DatabaseSchema,
        hints: &Hints,
        assumes_rows: bool,
    ) -> Result<SchemaPlan> {
        let sql = NativeSql(self.0.connection());
        let facts = if assumes_rows { Facts::assuming_rows(&sql) } else { Facts::of(&sql) };
        plan_of_files(&facts, &ExistingSchema::read(&sql)?, declared, target, hints)
    }
}

/// The plan of a database that is not there yet.
///
/// # Errors
/// What storage reports.
pub fn plan_on_empty(wanted: &WantedSchema) -> Result<Result<SchemaPlan, DeployRefusal>> {
    let mut writer = Writer::in_memory(|_| Ok(()))?;
    deploy::plan(&NativeSql(writer.connection()), wanted)
}

/// Makes the deployment on a database in memory that holds nothing, and forgets that.
///
/// # Errors
/// What storage reports.
pub fn deploy_on_empty(new: &NewDeployment, watch: &mut Watch<'_>) -> Result<DeployOutcome> {
    deploy_alone(&mut Writer::in_memory(|_| Ok(()))?, new, watch)
}

/// Makes the deployment on a copy of what `sql` shows, in `folder`, and forgets that (FUN-61).
///
/// # Errors
/// What storage reports.
pub fn deploy_on_copy(
    sql: NativeSql<'_>,
    new: &NewDeployment,
    folder: &Path,
    watch: &mut Watch<'_>,
) -> Result<DeployOutcome> {
    folder::create(folder)?;
    let copy = ScratchFile(folder.join(format!(".new-dry-{}.db", new.id)));
    backups::copy_to(sql.0, &copy.0)?;
    deploy_alone(&mut Writer::open(&copy.0)?, new, watch)
}

/// Makes the deployment where nobody else looks.
fn deploy_alone(writer: &mut Writer, new: &NewDeployment, watch: &mut Watch<'_>) -> Result<DeployOutcome> {
    let decision = match deploy::decide(&NativeSql(writer.connection()), new)? {
        Ok(decision) => decision,
        Err(refusal) => return Ok(DeployOutcome::Refused(refusal)),
    };
    Ok(match writer.deploy_decided(new, &decision, (), watch)?.0 {
        Ok((seq, deployed)) => {
            DeployOutcome::Made(Box::new(MadeDeployment { seq, deployed, decision, backup: None }))
        }
        Err(refusal) => DeployOutcome::Refused(refusal),
    })
}
