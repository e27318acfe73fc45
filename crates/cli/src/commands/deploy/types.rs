//! The bundle of a project and its types, for once.

use std::fmt::Display;

use crate::{
    failure::Failure,
    output,
    project::{
        Project,
        bundle::{Bundle, NotBundled},
        checker::{Checked, Checker},
        sources, types_file,
    },
    system,
};

/// The bundle of a project as it is now.
pub(crate) async fn bundle(project: &Project) -> Result<Bundle, Failure> {
    let (project, files, now_ms) = (project.clone(), sources::read(project)?, system::unix_millis());
    let made = tokio::task::spawn_blocking(move || Bundle::make(&project, &files, now_ms)).await;
    made.map_err(|error| Failure::other(format!("bundling: {error}")))?.map_err(|wrong| match wrong {
        NotBundled::Wrong(all) => told(&all),
        NotBundled::Told(text) => told(&[text]),
    })
}

/// The types of its functions; an error if they are wrong, unless that is let pass.
pub(super) async fn checked(
    project: &Project,
    bundle: &Bundle,
    no_check: bool,
    json: bool,
) -> Result<String, Failure> {
    let checked = match Checker::start(project) {
        Ok(mut checker) => checker.check().await,
        Err(why) => Err(why),
    };
    match checked {
        Ok(Checked { wrong, .. }) if !wrong.is_empty() && !no_check => Err(told(&wrong)),
        Ok(Checked { api_types, .. }) if !api_types.is_empty() => Ok(api_types),
        Ok(_) => Ok(types_file::untyped(&bundle.manifest)),
        Err(why) => {
            if !json {
                output::note(format_args!("types are not checked: {why}"));
            }
            Ok(types_file::untyped(&bundle.manifest))
        }
    }
}

fn told(wrong: &[impl Display]) -> Failure {
    wrong.iter().for_each(|one| one.to_string().lines().for_each(output::note));
    let places = if wrong.len() == 1 { "place" } else { "places" };
    Failure::other(format!("the functions are wrong in {} {places}; nothing was done", wrong.len()))
}
