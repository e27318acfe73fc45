//! `ferry migrations merge`: two branches of files, made beside each other, become one line (FUN-60). The later branch goes
//! behind the other as it is, if that leads to the schema; else one file that does what is left takes its place.

use std::path::Path;

use ferry_client::ClientError;
use serde_json::json;

use super::deploy;
use crate::{
    decisions::Decisions,
    failure::Failure,
    output,
    project::{
        Project,
        difference::Difference,
        migrations::{Migration, Migrations},
    },
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry migrations merge\n  \
    ferry migrations merge --first 20261129T230752_4f2a91c0_add_emails   where a hub has run that one already")]
pub(super) struct Args {
    /// The branch that begins with this file comes first [default: the older one]
    #[arg(long, value_name = "ID")]
    first: Option<String>,
}

/// What became of a fork.
#[derive(Default)]
struct Merged {
    moved: Vec<String>,
    removed: Vec<String>,
    written: Vec<String>,
}

pub(super) async fn run(json: bool, args: Args) -> Result<(), Failure> {
    let project = Project::find(Path::new("."))?;
    let bundle = deploy::bundle(&project).await?;
    let mut migrations = Migrations::read(&project)?;
    let mut done = Merged::default();
    let mut forks = 0;
    loop {
        let (first, second) = match (migrations.fork(), &args.first) {
            (Some((one, other)), Some(first)) if other.id == *first => (other.clone(), one.clone()),
            (Some((one, other)), _) => (one.clone(), other.clone()),
            (None, Some(first)) if forks == 0 => reordered(&migrations, first)?,
            (None, _) => break,
        };
        forks += 1;
        merge(&project, &mut migrations, (&first, &second), bundle.schema.as_ref(), &mut done)?;
    }
    if json {
        let Merged { moved, removed, written } = &done;
        return output::json(&json!({ "moved": moved, "removed": removed, "written": written }));
    }
    if forks == 0 {
        return output::line("nothing to merge: the files are one line");
    }
    for id in &done.moved {
        output::line(format_args!("moved behind the other branch: {id}"))?;
    }
    for id in &done.removed {
        output::line(format_args!("removed: {id}"))?;
    }
    done.written.iter().try_for_each(|id| {
        output::line(format_args!(
            "written, in place of what was removed: {id}; look at it before you deploy"
        ))
    })
}

/// A line in which the branch that begins with `first` stands behind another one, as if both had the same parent.
fn reordered(migrations: &Migrations, first: &str) -> Result<(Migration, Migration), Failure> {
    let found = migrations.all.iter().find(|migration| migration.id == first);
    let found = found.ok_or_else(|| {
        Failure::from(ClientError::argument(format!("--first {first}: there is no such migration file")))
    })?;
    let before = migrations.children(None).next().filter(|before| before.id != found.id);
    let before = before.ok_or_else(|| {
        Failure::from(ClientError::conflict("NOTHING_TO_MERGE", format!("{first} is the first file already")))
    })?;
    Ok((found.behind(before.parent.as_deref()), before.clone()))
}

fn merge(
    project: &Project,
    migrations: &mut Migrations,
    (first, second): (&Migration, &Migration),
    schema: Option<&serde_json::Value>,
    done: &mut Merged,
) -> Result<(), Failure> {
    let front = migrations.from(first);
    let tail = front.last().map(|last| last.id.clone());
    let moved = second.behind(tail.as_deref());
    let mut merged = migrations.clone();
    for migration in &mut merged.all {
        if migration.id == moved.id {
            *migration = moved.clone();
        } else if migration.id == first.id {
            *migration = first.clone();
        }
    }
    // Other forks are seen to one by one: the schema is reached behind the last one.
    let leads = merged.fork().is_some()
        || Difference::of(&merged, schema)
            .and_then(|mut difference| difference.plan(&Decisions::default(), false))
            .is_ok_and(|plan| plan.is_empty() && plan.impossible.is_empty());
    if leads {
        for migration in [first, &moved] {
            merged.write(migration)?;
        }
        done.moved.push(moved.id.clone());
        *migrations = Migrations::read(project)?;
        return Ok(());
    }
    rewrite(project, migrations, (first, second), schema, done)
}

/// One file in place of the second branch: what its files do does not fit behind the first one.
fn rewrite(
    project: &Project,
    migrations: &mut Migrations,
    (first, second): (&Migration, &Migration),
    schema: Option<&serde_json::Value>,
    done: &mut Merged,
) -> Result<(), Failure> {
    let replaced = migrations.from(second);
    let mut decided = Decisions::default();
    replaced.iter().for_each(|migration| decided.extend(migration.decided.clone()));
    let mut front = migrations.clone();
    front.all.retain(|migration| !replaced.iter().any(|other| other.id == migration.id));
    for migration in &mut front.all {
        if migration.id == first.id {
            *migration = first.clone();
        }
    }
    let mut difference = Difference::of(&front, schema)?;
    let plan = difference.plan(&decided, true)?;
    crate::project::difference::check_decided(&plan)?;
    let names: Vec<&str> = second.id.splitn(3, '_').collect();
    let new = if plan.is_empty() {
        None
    } else {
        Some(difference.migration(&plan, decided, names.get(2).copied())?)
    };
    front.write(first)?;
    if let Some(new) = &new {
        front.write(new)?;
        done.written.push(new.id.clone());
    }
    for migration in &replaced {
        front.remove(&migration.id)?;
        done.removed.push(migration.id.clone());
    }
    *migrations = Migrations::read(project)?;
    Ok(())
}
