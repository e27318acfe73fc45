//! What the developer wants: given, asked on the terminal, or taken from the defaults.

use std::{
    io::{self, IsTerminal as _},
    path::Path,
};

use super::{Args, Place};
use crate::{embedded, failure::Failure, project::settings::AuthMode, prompt};

/// The template that is offered first.
const DEFAULT_TEMPLATE: &str = "react";
/// What a project is called whose folder has no name that npm takes.
const DEFAULT_NAME: &str = "my-app";
/// Longest name of a package that npm takes.
const NAME_MAX_CHARS: usize = 214;

/// What the developer wants.
#[derive(Clone, Debug)]
pub(super) struct Wishes {
    pub(super) name: String,
    pub(super) template: String,
    pub(super) auth: AuthMode,
    pub(super) jwks_url: Option<String>,
}

impl Wishes {
    /// Asks for what is not given, where there is a terminal to ask on.
    pub(super) async fn gather(args: &Args, place: &Place) -> Result<Self, Failure> {
        let asks = !args.yes;
        if asks && !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Failure::Usage(
                "there is no terminal to ask about the project: give --yes, and --template, --auth, --name where \
                 react, none and the folder's name do not fit"
                    .to_owned(),
            ));
        }
        let default_name = args.name.clone().unwrap_or_else(|| name_of(&place.root));
        let name = if asks && args.name.is_none() {
            prompt::line_or("Name of the project", &default_name).await?
        } else {
            default_name
        };
        if package_name(&name) != name {
            let message = format!("{name:?} is no name of a package: try {}", package_name(&name));
            return Err(Failure::Usage(message));
        }
        let template = match &args.template {
            Some(template) => template.clone(),
            None if place.is_application => least_template(),
            None => one_of_templates(asks).await?,
        };
        let mut auth = args.auth.unwrap_or_default();
        if asks && args.auth.is_none() {
            let ways = [AuthMode::None, AuthMode::Local, AuthMode::Remote];
            let shown = ["nobody is known", "JWTs that the database signs", "JWTs of another issuer"];
            auth = ways[prompt::choice("How are callers known?", &shown).await?];
        }
        let mut jwks_url = args.jwks_url.clone();
        if auth == AuthMode::Remote && jwks_url.is_none() {
            if !asks {
                return Err(Failure::Usage(
                    "--auth remote needs --jwks-url: where the issuer of the tokens shows its keys"
                        .to_owned(),
                ));
            }
            jwks_url = Some(prompt::line_or("URL of the issuer's keys (JWKS)", "").await?);
        }
        if auth != AuthMode::Remote && jwks_url.is_some() {
            return Err(Failure::Usage("--jwks-url belongs to --auth remote".to_owned()));
        }
        Ok(Self { name, template, auth, jwks_url })
    }
}

async fn one_of_templates(asks: bool) -> Result<String, Failure> {
    let mut names = embedded::templates();
    names.sort_by_key(|name| *name != DEFAULT_TEMPLATE);
    let chosen = if asks { prompt::choice("Template", &names).await? } else { 0 };
    Ok(names[chosen].to_owned())
}

/// The template of which an application takes the functions.
fn least_template() -> String {
    let names = embedded::templates();
    names.iter().find(|name| **name == "plain").or(names.first()).map_or("", |name| *name).to_owned()
}

fn name_of(root: &Path) -> String {
    let folder = std::path::absolute(root).ok();
    let name = folder.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    package_name(&name.unwrap_or_default())
}

/// The name that npm would take: lower case, without what stands for something in URLs.
fn package_name(text: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String =
        text.to_ascii_lowercase().chars().map(|c| if is_plain(&c) { c } else { '-' }).collect();
    let name: String = name.trim_matches(['-', '_', '.']).chars().take(NAME_MAX_CHARS).collect();
    if name.is_empty() { DEFAULT_NAME.to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::package_name;

    #[test]
    fn folders_give_names_that_npm_takes() {
        let names = ["todo", "My App", "_x_", "Ünïcode", "..."].map(package_name);
        assert_eq!(names, ["todo", "my-app", "x", "n-code", "my-app"]);
    }
}
