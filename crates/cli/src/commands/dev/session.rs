//! A project's functions on the hub of `ferry dev`: from files that changed to functions that are called.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use ferry_client::functions::{
    AppliedDeployment, DeployRefused, DeployReply, DeployRequest, FunctionsClient,
};
use ferry_functions::{Diagnostic, ProjectFiles};
use serde_json::Value;

use super::Args;
use crate::{
    decisions::Decisions,
    deploy_words,
    failure::Failure,
    output,
    project::{
        PROJECT_FILE, Project,
        bundle::{Bundle, NotBundled},
        checker::{Checked, Checker},
        dev_decisions, env_file, sources, types_file,
    },
    system::{self, Stopwatch},
};

/// What is asked of the schema, as it was last asked.
pub(super) struct DevSession {
    project: Project,
    functions: Arc<FunctionsClient>,
    flags: Decisions,
    allow_destructive: bool,
    /// The deployment that runs.
    base: Option<String>,
    types: TypeChecks,
    /// What the last swap was made of, whatever became of it.
    last: Option<Inputs>,
    sent: Sent,
}

/// All that a swap is made of.
#[derive(Clone, PartialEq)]
struct Inputs {
    files: ProjectFiles,
    env: BTreeMap<String, String>,
    auth: Value,
    /// Whether other packages are installed.
    packages: Option<std::time::SystemTime>,
}

impl Inputs {
    /// The files that differ, by their names below the functions' folder.
    fn changed_since(&self, before: &Self) -> Vec<String> {
        let names: BTreeSet<&String> = self.files.keys().chain(before.files.keys()).collect();
        let differ = names.into_iter().filter(|name| self.files.get(*name) != before.files.get(*name));
        let others = [
            (".env", self.env != before.env),
            (PROJECT_FILE, self.auth != before.auth),
            ("node_modules", self.packages != before.packages),
        ];
        let others = others.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned());
        differ.cloned().chain(others).collect()
    }
}

/// What the hub has been told beside the functions.
struct Sent {
    auth: Option<Value>,
    env: BTreeMap<String, String>,
    /// Secrets of an earlier session.
    old_secrets: Vec<String>,
}

enum TypeChecks {
    Off,
    Running(Checker),
    /// None, for this reason; it is tried again once other packages are installed.
    Missing {
        packages: Option<std::time::SystemTime>,
        told: String,
    },
    /// Not tried yet.
    Unknown,
}

/// What became of a change.
pub(super) struct Swap {
    pub(super) ended: SwapEnd,
    /// Files that changed, by their names below the functions' folder.
    pub(super) changed: Vec<String>,
    /// From the change of the newest file on.
    pub(super) total: Duration,
    pub(super) times: SwapTimes,
    /// Files outside of the folder that the functions are made of.
    pub(super) outside: Vec<PathBuf>,
    pub(super) function_count: usize,
    /// Whether functions of before are still called.
    pub(super) is_serving: bool,
}

/// Where the time went.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SwapTimes {
    pub(super) bundle: Duration,
    pub(super) check: Option<Duration>,
    pub(super) deploy: Duration,
}

pub(super) enum SwapEnd {
    /// Nothing that functions are made of changed.
    Same,
    /// The sources are wrong.
    Wrong(Vec<Diagnostic>),
    /// The sources, settings or secrets are wrong.
    Told(String),
    /// The hub refused.
    Refused(Box<DeployRefused>),
    /// It was asked, and shall not be.
    Declined,
    /// They are called now.
    Made(Box<AppliedDeployment>),
}

impl DevSession {
    pub(super) async fn new(
        project: Project,
        functions: Arc<FunctionsClient>,
        args: &Args,
        flags: Decisions,
    ) -> Result<Self, Failure> {
        let info = functions.info().await?;
        Ok(Self {
            project,
            functions,
            flags,
            allow_destructive: args.decisions.allow_destructive,
            base: info.deployment,
            types: if args.no_check { TypeChecks::Off } else { TypeChecks::Unknown },
            last: None,
            sent: Sent { auth: None, env: BTreeMap::new(), old_secrets: info.secrets },
        })
    }

    pub(super) const fn project(&self) -> &Project {
        &self.project
    }

    /// Brings the functions to what the files are now. What is wrong with them is no failure of this.
    pub(super) async fn swap(&mut self) -> Result<Swap, Failure> {
        let watch = Stopwatch::start();
        let mut swap = Swap {
            ended: SwapEnd::Same,
            changed: Vec::new(),
            total: Duration::ZERO,
            times: SwapTimes::default(),
            outside: Vec::new(),
            function_count: 0,
            is_serving: self.base.is_some(),
        };
        let before = self.last.clone();
        swap.ended = self.attempt(&mut swap).await?;
        if let (Some(before), Some(now)) = (&before, &self.last) {
            swap.changed = now.changed_since(before);
        }
        let modified = |name: &String| self.project.dir.join(name).metadata().ok()?.modified().ok();
        let since = swap.changed.iter().filter_map(modified).max().map(system::since);
        swap.total = since.unwrap_or_else(|| watch.elapsed());
        Ok(swap)
    }

    async fn attempt(&mut self, swap: &mut Swap) -> Result<SwapEnd, Failure> {
        let inputs = match self.inputs() {
            Ok(inputs) => inputs,
            Err(failure) => return Ok(SwapEnd::Told(failure.to_string())),
        };
        if self.last.as_ref() == Some(&inputs) {
            return Ok(SwapEnd::Same);
        }
        self.last = Some(inputs.clone());
        self.begin_checks(&inputs);
        let project = self.project.clone();
        let (files, now_ms) = (inputs.files.clone(), system::unix_millis());
        let bundling = async {
            let watch = Stopwatch::start();
            let made = tokio::task::spawn_blocking(move || Bundle::make(&project, &files, now_ms)).await;
            (made, watch.elapsed())
        };
        let checking = async {
            let watch = Stopwatch::start();
            (self.types.check().await, watch.elapsed())
        };
        let ((bundled, bundle_time), (checked, check_time)) = tokio::join!(bundling, checking);
        swap.times.bundle = bundle_time;
        swap.times.check = checked.is_some().then_some(check_time);
        let bundle = match bundled.map_err(|error| Failure::other(format!("bundling: {error}")))? {
            Ok(bundle) => bundle,
            Err(NotBundled::Wrong(wrong)) => return Ok(SwapEnd::Wrong(wrong)),
            Err(NotBundled::Told(text)) => return Ok(SwapEnd::Told(text)),
        };
        swap.outside.clone_from(&bundle.outside);
        swap.function_count = bundle.function_count();
        let api_types = match checked {
            Some(Checked { wrong, .. }) if !wrong.is_empty() => return Ok(SwapEnd::Wrong(wrong)),
            Some(Checked { api_types, .. }) => api_types,
            None => types_file::untyped(&bundle.manifest),
        };
        let watch = Stopwatch::start();
        let ended = self.deploy(&bundle, &api_types, &inputs).await?;
        swap.times.deploy = watch.elapsed();
        if let SwapEnd::Made(made) = &ended {
            self.base.clone_from(&made.deployment);
            self.sent.auth = Some(inputs.auth);
            self.sent.env = inputs.env;
            self.sent.old_secrets.clear();
            if let Err(failure) = types_file::write(&self.project, &api_types) {
                output::note(failure);
            }
        }
        Ok(ended)
    }

    fn inputs(&mut self) -> Result<Inputs, Failure> {
        self.project.reread()?;
        let packages = self.project.root.join("node_modules/.package-lock.json");
        Ok(Inputs {
            files: sources::read(&self.project)?,
            env: env_file::read(&self.project.dir.join(".env"))?,
            auth: serde_json::to_value(&self.project.settings.auth).unwrap_or_default(),
            packages: packages.metadata().and_then(|found| found.modified()).ok(),
        })
    }

    fn begin_checks(&mut self, inputs: &Inputs) {
        let is_due = match &self.types {
            TypeChecks::Unknown => true,
            TypeChecks::Missing { packages, .. } => *packages != inputs.packages,
            TypeChecks::Off | TypeChecks::Running(_) => false,
        };
        if is_due {
            self.types.begin(&self.project, inputs.packages);
        }
    }

    async fn deploy(
        &mut self,
        bundle: &Bundle,
        api_types: &str,
        inputs: &Inputs,
    ) -> Result<SwapEnd, Failure> {
        let auth = Some(&inputs.auth).filter(|auth| self.sent.auth.as_ref() != Some(auth));
        let env = self.changed_secrets(&inputs.env);
        let mut decisions = self.flags.clone();
        let mut allow_destructive = self.allow_destructive;
        let mut retried = false;
        loop {
            let request = DeployRequest {
                base: self.base.as_deref(),
                bundle: &bundle.text,
                source_map: &bundle.source_map,
                manifest: &bundle.manifest,
                api_dts: api_types,
                schema: bundle.schema.as_ref(),
                migrations: &[],
                hints: &decisions.to_json(),
                allow_destructive,
                accept_drift: true,
                dry_run: false,
                auth,
                env: env.as_ref(),
            };
            let refused = match self.functions.deploy(&request).await? {
                DeployReply::Made(made) => {
                    dev_decisions::note(&self.project, &made, &decisions);
                    return Ok(SwapEnd::Made(Box::new(made)));
                }
                DeployReply::Refused(refused) => refused,
            };
            // Somebody else deploys here too.
            let active = self.functions.info().await?.deployment;
            if active != self.base && !retried {
                self.base = active;
                retried = true;
                continue;
            }
            if !deploy_words::is_decision(&refused) || !can_ask() {
                return Ok(SwapEnd::Refused(refused));
            }
            let Some(schema) = &bundle.schema else { return Ok(SwapEnd::Refused(refused)) };
            let plan = self.functions.plan(self.base.as_deref(), schema, &decisions.to_json()).await?;
            if plan.questions.is_empty() {
                return Ok(SwapEnd::Refused(refused));
            }
            deploy_words::tell_steps(&plan.steps)?;
            match decisions.ask(&plan.questions).await? {
                Some(loses) => allow_destructive |= loses,
                None => return Ok(SwapEnd::Declined),
            }
        }
    }

    /// Secrets that the hub does not know as they are.
    fn changed_secrets(&self, env: &BTreeMap<String, String>) -> Option<BTreeMap<String, Option<String>>> {
        let new = env.iter().filter(|(name, value)| self.sent.env.get(*name) != Some(value));
        let mut changed: BTreeMap<String, Option<String>> =
            new.map(|(name, value)| (name.clone(), Some(value.clone()))).collect();
        let gone = self.sent.env.keys().chain(&self.sent.old_secrets).filter(|name| !env.contains_key(*name));
        changed.extend(gone.map(|name| (name.clone(), None)));
        (!changed.is_empty()).then_some(changed)
    }
}

fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

impl TypeChecks {
    fn begin(&mut self, project: &Project, packages: Option<std::time::SystemTime>) {
        match Checker::start(project) {
            Ok(checker) => *self = Self::Running(checker),
            Err(why) => self.give_up(packages, &why),
        }
    }

    fn give_up(&mut self, packages: Option<std::time::SystemTime>, why: &str) {
        let is_told = matches!(self, Self::Missing { told, .. } if told == why);
        if !is_told {
            output::note(format_args!(
                "types are not checked, and those of pages are loose: {why}; functions are served all the same"
            ));
        }
        *self = Self::Missing { packages, told: why.to_owned() };
    }

    /// What is wrong, and the types for pages; `None` if there is nobody to tell.
    async fn check(&mut self) -> Option<Checked> {
        let Self::Running(checker) = self else { return None };
        match checker.check().await {
            Ok(checked) => Some(checked),
            Err(why) => {
                self.give_up(None, &why);
                None
            }
        }
    }
}
