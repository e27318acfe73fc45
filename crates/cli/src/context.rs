//! What a command works with: which hub, as whom, and how to print.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use ferry_client::{
    ClientError, ClientErrorCode, ServerUrl,
    admin::AdminClient,
    pages::{NoTokens, PagesClient, TokenStore},
    progress::Progress,
    status, tls,
};
use ferry_hub::clock::SystemClock;
use ferry_types::Code;

use crate::{
    failure::Failure,
    settings::{self, SavedCredentials},
    system::variable,
};

const DEFAULT_SERVER: &str = "http://localhost:8787";

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// URL of the hub [env: FERRY_SERVER; else the profile's, else http://localhost:8787]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) server: Option<ServerUrl>,
    /// File of PEM certificates: the authorities to trust, instead of this machine's [env: FERRY_CACERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// A profile of config.toml, which names server and organisation
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Organisation, by id or name, that the command is about [default: the profile's, else your personal one]
    #[arg(long, global = true, value_name = "ORG")]
    pub(crate) org: Option<String>,
    /// Print one JSON document on stdout, and errors as JSON on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// Has this process trust the authorities alone that `--cacert` or FERRY_CACERT names.
pub(crate) fn trust_named(cacert: Option<PathBuf>) -> Result<(), Failure> {
    match cacert.or_else(|| variable("FERRY_CACERT").map(PathBuf::from)) {
        Some(file) => Ok(tls::trust_only(&file)?),
        None => Ok(()),
    }
}

/// The resolved globals of one command.
pub(crate) struct Context {
    /// The hub.
    pub(crate) server: ServerUrl,
    /// Whether the result is one JSON document.
    pub(crate) json: bool,
    /// Whether somebody said which hub is meant.
    pub(crate) is_server_given: bool,
    org: String,
    settings_dir: PathBuf,
}

impl Context {
    /// Server: flag, FERRY_SERVER, profile, default; organisation: flag, profile. From here on the process trusts whom
    /// `--cacert` or FERRY_CACERT names.
    pub(crate) fn new(global: Global) -> Result<Self, Failure> {
        let settings_dir = settings::directory()?;
        let profile = settings::profile(&settings_dir, global.profile.as_deref())?;
        let is_server_given =
            global.server.is_some() || variable("FERRY_SERVER").is_some() || profile.server.is_some();
        let server = match (global.server, variable("FERRY_SERVER"), profile.server) {
            (Some(server), ..) => server,
            (None, Some(text), _) => named(&text, "FERRY_SERVER")?,
            (None, None, Some(text)) => named(&text, "config.toml")?,
            (None, None, None) => named(DEFAULT_SERVER, "the default")?,
        };
        trust_named(global.cacert)?;
        let org = global.org.or(profile.org).unwrap_or_default();
        Ok(Self { server, json: global.json, is_server_given, org, settings_dir })
    }

    /// The same for another hub: a URL, or the name of a profile.
    pub(crate) fn at(self, hub: &str) -> Result<Self, Failure> {
        if hub.contains("://") {
            return Ok(Self { server: named(hub, "the hub")?, is_server_given: true, ..self });
        }
        let profile = settings::profile(&self.settings_dir, Some(hub))?;
        let Some(server) = profile.server else {
            return Err(Failure::Configuration(format!("the profile {hub} names no server")));
        };
        let org = profile.org.unwrap_or(self.org);
        Ok(Self { server: named(&server, "config.toml")?, is_server_given: true, org, ..self })
    }

    /// Whether nobody named an organisation, so that commands are about the personal one.
    pub(crate) fn is_own_org(&self) -> bool {
        self.org.is_empty()
    }

    /// What the hub gave us earlier.
    pub(crate) fn credentials(&self) -> SavedCredentials {
        SavedCredentials::new(&self.settings_dir, &self.server)
    }

    /// The session: FERRY_TOKEN, else that of the last login at this hub.
    pub(crate) fn session(&self) -> Result<String, Failure> {
        let session = match variable("FERRY_TOKEN") {
            Some(token) => Some(token),
            None => self.credentials().session()?.map(|session| session.token),
        };
        session.ok_or_else(|| {
            // Whoever has the address wrong is not to be sent to a login there.
            if let Err(error) = status::answers(&self.server) {
                return error.into();
            }
            ClientError::new(
                ClientErrorCode::Table(Code::Unauthenticated),
                "NOT_LOGGED_IN",
                format!(
                    "not logged in at {}: run ferry login EMAIL (or ferry signup EMAIL), or set FERRY_TOKEN",
                    self.server
                ),
            )
            .into()
        })
    }

    /// A client with the session.
    pub(crate) fn admin(&self) -> Result<AdminClient, Failure> {
        Ok(AdminClient::new(&self.server, Some(&self.session()?), &self.org)?)
    }

    /// Where sync tokens are kept. Those of FERRY_TOKEN's session are not: it may be another user's.
    pub(crate) fn tokens(&self) -> Box<dyn TokenStore> {
        if variable("FERRY_TOKEN").is_some() { Box::new(NoTokens) } else { Box::new(self.credentials()) }
    }

    /// What commands on pages work with.
    pub(crate) fn pages_session(&self) -> Result<PagesSession, Failure> {
        Ok(PagesSession { admin: self.admin()?, tokens: self.tokens() })
    }

    /// A client without a session.
    pub(crate) fn anonymous(&self) -> Result<AdminClient, Failure> {
        Ok(AdminClient::new(&self.server, None, "")?)
    }
}

/// A login, and the sync tokens that are minted with it.
pub(crate) struct PagesSession {
    admin: AdminClient,
    tokens: Box<dyn TokenStore>,
}

impl PagesSession {
    pub(crate) const fn admin(&self) -> &AdminClient {
        &self.admin
    }

    /// A client of pages, which tells `progress` how far it is.
    pub(crate) fn client(&self, progress: Arc<dyn Progress>) -> PagesClient<'_> {
        let (admin, tokens) = (&self.admin, self.tokens.as_ref());
        PagesClient { admin, tokens, clock: Arc::new(SystemClock), progress }
    }
}

fn named(text: &str, source: &str) -> Result<ServerUrl, Failure> {
    text.parse().map_err(|error| Failure::Configuration(format!("{source}: {error}")))
}
