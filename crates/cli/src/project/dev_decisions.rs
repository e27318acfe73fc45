//! What was decided while `ferry dev` changed the schema, kept for the migration file that says so (FUN-65).

use std::fs;

use ferry_client::functions::AppliedDeployment;

use super::{DEV_DIR, Project};
use crate::{decisions::Decisions, output};

const FILE: &str = "decisions.json";

/// Decisions since the last migration file.
pub(crate) fn read(project: &Project) -> Decisions {
    let text = fs::read_to_string(project.root.join(DEV_DIR).join(FILE)).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Notes those that a change was made with.
pub(crate) fn note(project: &Project, made: &AppliedDeployment, decisions: &Decisions) {
    if made.steps.is_empty() || decisions.is_empty() {
        return;
    }
    let mut all = read(project);
    all.extend(decisions.clone());
    let path = project.root.join(DEV_DIR).join(FILE);
    // Without it they are asked once more.
    if let Err(error) = fs::write(&path, all.to_json().to_string()) {
        output::note(format_args!("{}: {error}", path.display()));
    }
}

/// Forgets them: they stand in a migration file.
pub(crate) fn forget(project: &Project) {
    let _ = fs::remove_file(project.root.join(DEV_DIR).join(FILE));
}
