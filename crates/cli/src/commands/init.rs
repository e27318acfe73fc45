//! `ferry init`: a project with functions, in a new folder or beside what an application has already (FUN-70).

mod edgepod;
mod jwks;
mod npm;
mod template;
mod wishes;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::builder::PossibleValuesParser;
use ferry_client::ClientError;
use serde_json::json;

use self::{edgepod::EdgePodProject, template::Names, wishes::Wishes};
use crate::{
    embedded,
    failure::Failure,
    output,
    project::{
        DEFAULT_DIR, PROJECT_FILE, Project,
        migrations::Migrations,
        settings::{AuthMode, AuthSettings, DeployHub, DevSettings, NamedProject, ProjectSettings},
    },
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry init my-app                     asks what it has to know\n  \
    ferry init my-app --yes               asks nothing\n  \
    ferry init --template plain --auth local --yes\n  \
    ferry init --yes                      beside what is there, where a package.json is\n  \
    ferry init --from edgepod --yes       what edgepod/ has, in ferry/")]
pub(crate) struct Args {
    /// The project's folder; made if it is not there
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// What the project begins with
    #[arg(long, value_parser = PossibleValuesParser::new(embedded::templates()))]
    template: Option<String>,
    /// How callers of functions are known
    #[arg(long, value_enum)]
    auth: Option<AuthMode>,
    /// Where the keys of the tokens are, for --auth remote
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// What the project is called [default: as its folder]
    #[arg(long)]
    name: Option<String>,
    /// What the folder with the functions is called
    #[arg(long, value_name = "NAME", default_value = DEFAULT_DIR)]
    dir: String,
    /// Take over what another system's project has: its schema, functions, migrations and API key
    #[arg(long, value_name = "SYSTEM", value_parser = ["edgepod"])]
    from: Option<String>,
    /// Ask nothing: take what is not given from the defaults
    #[arg(long, short)]
    yes: bool,
    /// Write the files, and do not run npm
    #[arg(long)]
    no_install: bool,
}

/// Where `ferry dev` listens for clients of EdgePod's, as EdgePod does.
const EDGEPOD_PORT: u16 = 8989;

/// Where everything goes.
struct Place {
    root: PathBuf,
    dir: PathBuf,
    /// An application is there already: only the functions' folder is added.
    is_application: bool,
}

/// What was done.
#[derive(Default)]
struct Written {
    files: Vec<String>,
    /// Files that were there, and are as they were.
    kept: Vec<String>,
}

pub(crate) async fn run(json: bool, args: Args) -> Result<(), Failure> {
    let place = Place::of(&args)?;
    if !args.no_install {
        npm::check()?;
    }
    let wishes = Wishes::gather(&args, &place).await?;
    if let Some(url) = &wishes.jwks_url {
        jwks::check(url).await?;
    }
    let adopted = args.from.as_ref().map(|_| EdgePodProject::find(&place.root)).transpose()?;
    let mut written = Written::default();
    if let Some(adopted) = &adopted {
        written.adopt(&place, adopted)?;
    }
    let names = Names::of(&wishes, &args.dir);
    write_template(&place, &wishes, &names, &mut written)?;
    let key = adopted.as_ref().and_then(|adopted| adopted.key.clone());
    let settings = settings(&wishes, adopted.as_ref().map(|_| EDGEPOD_PORT), key);
    written.create(&place, &place.dir.join(PROJECT_FILE), settings.written().as_bytes())?;
    if let Some(adopted) = &adopted {
        let project = Project { root: place.root.clone(), dir: place.dir.clone(), settings };
        if let Some(baseline) = adopted.baseline(&project)? {
            Migrations::read(&project)?.write(&baseline)?;
            written.files.push(edgepod::baseline_name(&args.dir));
        }
        written.kept.clear();
    }
    let packages = write_packages(&place, &names, &mut written)?;
    let install = if place.is_application { packages } else { Vec::new() };
    if !args.no_install {
        npm::install(&place.root, &install, json)?;
    }
    tell(json, &args, &place, &written, &install)
}

impl Place {
    fn of(args: &Args) -> Result<Self, Failure> {
        let root = args.folder.clone();
        if root.exists() && !root.is_dir() {
            return Err(Failure::Usage(format!("{} is a file: name a folder", root.display())));
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if args.dir.is_empty() || !args.dir.chars().all(is_name) {
            return Err(Failure::Usage(format!(
                "--dir {}: it is the name of one folder, of letters, digits, - and _",
                args.dir
            )));
        }
        let dir = root.join(&args.dir);
        if dir.join(PROJECT_FILE).exists() {
            let message = format!(
                "{} is a project of Ferry already: go on with ferry dev there; to begin anew, move {} away first",
                root.display(),
                dir.display()
            );
            return Err(ClientError::conflict("PROJECT_EXISTS", message).into());
        }
        let is_application = root.join("package.json").exists();
        Ok(Self { root, dir, is_application })
    }
}

/// The project's settings as they begin.
fn settings(wishes: &Wishes, port: Option<u16>, key: Option<String>) -> ProjectSettings {
    ProjectSettings {
        project: NamedProject { name: wishes.name.clone() },
        hub: DeployHub { url: None, database: Some(wishes.name.clone()) },
        auth: AuthSettings {
            mode: wishes.auth,
            jwks_url: wishes.jwks_url.clone(),
            ..AuthSettings::default()
        },
        dev: DevSettings { port, key },
    }
}

fn write_template(
    place: &Place,
    wishes: &Wishes,
    names: &Names,
    written: &mut Written,
) -> Result<(), Failure> {
    for (path, content) in embedded::template(&wishes.template) {
        let of_functions = path.strip_prefix("ferry/");
        let target = match of_functions {
            Some(below) => place.dir.join(template::written_path(below)),
            // What an application has of these it has in its own way.
            None if place.is_application => continue,
            None => place.root.join(template::written_path(path)),
        };
        written.create(place, &target, &names.filled(content))?;
    }
    Ok(())
}

/// Writes the packages; gives the paths that npm installs them from.
fn write_packages(place: &Place, names: &Names, written: &mut Written) -> Result<Vec<String>, Failure> {
    let needs_react = fs::read_to_string(place.root.join("package.json"))
        .is_ok_and(|text| text.contains("\"react\"") || text.contains("@ferry/react"));
    let mut paths = Vec::new();
    for name in embedded::packages() {
        if name == "react" && !needs_react {
            continue;
        }
        let file = format!("ferry-{name}-{}.tgz", names.version);
        let packed = embedded::packed(name).map_err(|error| Failure::other(format!("{file}: {error}")))?;
        written.create(place, &place.dir.join("packages").join(&file), &packed)?;
        paths.push(format!("./{}/packages/{file}", names.dir));
    }
    Ok(paths)
}

impl Written {
    /// Copies what an EdgePod project has.
    fn adopt(&mut self, place: &Place, project: &EdgePodProject) -> Result<(), Failure> {
        for (name, path) in project.sources() {
            let content =
                fs::read(&path).map_err(|error| Failure::other(format!("{}: {error}", path.display())))?;
            self.create(place, &place.dir.join(name), &content)?;
        }
        Ok(())
    }

    /// Writes a file where none is; one that is there stays (FUN-70).
    fn create(&mut self, place: &Place, path: &Path, content: &[u8]) -> Result<(), Failure> {
        let failed = |error: &io::Error| Failure::other(format!("writing {}: {error}", path.display()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| failed(&error))?;
        }
        let shown = path.strip_prefix(&place.root).unwrap_or(path).display().to_string();
        match fs::File::create_new(path) {
            Ok(mut file) => {
                io::Write::write_all(&mut file, content).map_err(|error| failed(&error))?;
                self.files.push(shown);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.kept.push(shown),
            Err(error) => return Err(failed(&error)),
        }
        Ok(())
    }
}

fn tell(
    json: bool,
    args: &Args,
    place: &Place,
    written: &Written,
    install: &[String],
) -> Result<(), Failure> {
    let next = next_steps(args, place, install);
    if json {
        let (files, kept) = (&written.files, &written.kept);
        return output::json(&json!({ "folder": place.root, "files": files, "kept": kept, "next": next }));
    }
    output::line(format_args!("{} files written to {}", written.files.len(), place.root.display()))?;
    if !written.kept.is_empty() {
        output::line(format_args!("left as they were: {}", written.kept.join(", ")))?;
    }
    if place.is_application || written.kept.iter().any(|path| path == ".gitignore") {
        output::line(format_args!("add to .gitignore: .ferry/, {dir}/.env", dir = args.dir))?;
    }
    output::line("next:")?;
    next.iter().try_for_each(|step| output::line(format_args!("  {step}")))
}

/// The commands that are left to do, one line.
fn next_steps(args: &Args, place: &Place, install: &[String]) -> Vec<String> {
    let mut steps = Vec::new();
    if place.root != Path::new(".") {
        steps.push(format!("cd {}", place.root.display()));
    }
    if args.no_install {
        steps.push(["npm install".to_owned()].iter().chain(install).cloned().collect::<Vec<_>>().join(" "));
    }
    let has_script = fs::read_to_string(place.root.join("package.json"))
        .ok()
        .and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok())
        .is_some_and(|package| package["scripts"]["dev"].is_string());
    steps.push(if has_script && !place.is_application { "npm run dev" } else { "ferry dev" }.to_owned());
    vec![steps.join(" && ")]
}
