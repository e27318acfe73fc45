//! `credentials.toml`: what each hub gave us, under the hub's origin, so that no token ever goes to another
//! (CLI-04).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use ferry_client::{
    ServerUrl,
    pages::{SyncToken, TokenPurpose, TokenStore},
};
use ferry_types::{DatabaseId, UnixMillis};
use serde::{Deserialize, Serialize};

use super::file;
use crate::failure::Failure;

/// A login at one hub.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedSession {
    /// The session token.
    pub(crate) token: String,
    /// Whose it is.
    pub(crate) email: String,
}

/// A login at a provider that waits for its end.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingLogin {
    /// What the hub calls it.
    pub(crate) state: String,
    /// What proves that it was begun here: a secret.
    pub(crate) verifier: String,
    /// Whether it adds an identity to the account that is logged in.
    pub(crate) link: bool,
}

#[derive(Clone, Serialize, Deserialize)]
struct StoredToken {
    token: String,
    expires_unix: i64,
}

/// Sync tokens of one database, by what they are for.
type Tokens = BTreeMap<String, StoredToken>;

#[derive(Default, Serialize, Deserialize)]
struct Server {
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SavedSession>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oauth: Option<PendingLogin>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    sync: BTreeMap<String, Tokens>,
}

#[derive(Default, Serialize, Deserialize)]
struct Document {
    #[serde(default)]
    servers: BTreeMap<String, Server>,
}

/// The credentials of one hub.
pub(crate) struct SavedCredentials {
    path: PathBuf,
    origin: String,
}

impl SavedCredentials {
    /// The credentials of `server` in the settings directory `dir`.
    pub(crate) fn new(dir: &Path, server: &ServerUrl) -> Self {
        Self { path: dir.join("credentials.toml"), origin: server.kept_under() }
    }

    fn parse(&self, text: Option<String>) -> Result<Document, Failure> {
        let Some(text) = text else { return Ok(Document::default()) };
        // The parser's message quotes the line, which may hold a token.
        let document: Document = toml::from_str(&text).map_err(|error| {
            Failure::Configuration(format!(
                "{} is damaged ({}): remove it and log in again",
                self.path.display(),
                error.message()
            ))
        })?;
        // Older versions kept the addresses of this machine apart.
        let kept_under = |origin: String| origin.parse().map_or(origin, |url: ServerUrl| url.kept_under());
        let servers = document.servers.into_iter().map(|(origin, server)| (kept_under(origin), server));
        Ok(Document { servers: servers.collect() })
    }

    fn server(&self) -> Result<Server, Failure> {
        Ok(self.parse(file::read(&self.path)?)?.servers.remove(&self.origin).unwrap_or_default())
    }

    fn change(&self, change: impl FnOnce(&mut Server)) -> Result<(), Failure> {
        file::update(&self.path, |text| {
            let mut document = self.parse(text)?;
            change(document.servers.entry(self.origin.clone()).or_default());
            document.servers.retain(|_, server| {
                server.session.is_some() || server.oauth.is_some() || !server.sync.is_empty()
            });
            toml::to_string(&document).map_err(|error| Failure::other(format!("credentials: {error}")))
        })
    }

    /// The login at the hub, if there is one.
    pub(crate) fn session(&self) -> Result<Option<SavedSession>, Failure> {
        Ok(self.server()?.session)
    }

    /// Keeps a login. Sync tokens of the login before it go: they may be another user's.
    pub(crate) fn set_session(&self, session: SavedSession) -> Result<(), Failure> {
        self.change(|server| *server = Server { session: Some(session), ..Server::default() })
    }

    /// The login at a provider that was begun last, if it was not finished.
    pub(crate) fn pending(&self) -> Result<Option<PendingLogin>, Failure> {
        Ok(self.server()?.oauth)
    }

    /// Keeps a login at a provider for its end.
    pub(crate) fn set_pending(&self, pending: PendingLogin) -> Result<(), Failure> {
        self.change(|server| server.oauth = Some(pending))
    }

    /// Forgets the hub.
    pub(crate) fn forget(&self) -> Result<(), Failure> {
        self.change(|server| *server = Server::default())
    }
}

/// Sync tokens that live less than this are not used any more: a transfer takes a while.
const TOKEN_LIFE_LEFT_SECONDS: i64 = 120;

impl TokenStore for SavedCredentials {
    fn get(&self, database: DatabaseId, access: TokenPurpose, now: UnixMillis) -> Option<String> {
        let mut server = self.server().ok()?;
        let stored = server.sync.get_mut(&database.to_string())?.remove(access.as_str())?;
        (stored.expires_unix > now.as_secs() + TOKEN_LIFE_LEFT_SECONDS).then_some(stored.token)
    }

    fn put(&self, database: DatabaseId, access: TokenPurpose, token: &SyncToken, now: UnixMillis) {
        let stored = StoredToken { token: token.token.clone(), expires_unix: token.expires_unix };
        let kept = self.change(|server| {
            for tokens in server.sync.values_mut() {
                tokens.retain(|_, token| token.expires_unix > now.as_secs());
            }
            server.sync.retain(|_, tokens| !tokens.is_empty());
            server.sync.entry(database.to_string()).or_default().insert(access.as_str().into(), stored);
        });
        // A token that is not kept is minted again the next time.
        if let Err(failure) = kept {
            tracing::warn!(%failure, "the sync token is not kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(dir: &tempfile::TempDir, server: &str) -> SavedCredentials {
        SavedCredentials::new(dir.path(), &server.parse().unwrap())
    }

    fn session(token: &str) -> SavedSession {
        SavedSession { token: token.into(), email: "a@b".into() }
    }

    // Verifies: CLI-04
    #[test]
    fn each_hub_has_its_own_login() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (at(&dir, "http://a"), at(&dir, "https://a"));
        a.set_session(session("token-a")).unwrap();
        assert!(b.session().unwrap().is_none());
        b.set_session(session("token-b")).unwrap();
        b.forget().unwrap();
        assert_eq!(at(&dir, "http://A:80/").session().unwrap().unwrap().token, "token-a");
        assert!(b.session().unwrap().is_none());
    }

    // `serve` printed http://127.0.0.1:8787, and the client's default is http://localhost:8787: two logins.
    // Verifies: CLI-04
    #[test]
    fn this_machine_is_one_hub_by_name_and_by_address() {
        let dir = tempfile::tempdir().unwrap();
        let older = "[servers.\"http://127.0.0.1:1\".session]\ntoken = \"older\"\nemail = \"a@b\"\n";
        std::fs::write(dir.path().join("credentials.toml"), older).unwrap();
        for name in ["localhost", "127.0.0.1", "[::1]"] {
            let kept = at(&dir, &format!("http://{name}:1")).session().unwrap();
            assert_eq!(kept.expect("one login").token, "older");
        }
        at(&dir, "http://localhost:1").set_session(session("newer")).unwrap();
        assert_eq!(at(&dir, "http://127.0.0.1:1").session().unwrap().unwrap().token, "newer");
        for other in ["http://127.0.0.2:1", "http://localhost:2", "https://localhost:1"] {
            assert!(at(&dir, other).session().unwrap().is_none(), "{other}");
        }
    }

    #[test]
    fn sync_tokens_are_kept_until_shortly_before_they_expire() {
        let dir = tempfile::tempdir().unwrap();
        let store = at(&dir, "http://a");
        let database = "db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap();
        let token = SyncToken { token: "t".into(), expires_unix: 1000 };
        store.put(database, TokenPurpose::Write, &token, UnixMillis(0));
        assert_eq!(store.get(database, TokenPurpose::Write, UnixMillis(800_000)).as_deref(), Some("t"));
        assert_eq!(store.get(database, TokenPurpose::Read, UnixMillis(0)), None);
        assert_eq!(store.get(database, TokenPurpose::Write, UnixMillis(900_000)), None);
        store.set_session(session("other user")).unwrap();
        assert_eq!(store.get(database, TokenPurpose::Write, UnixMillis(0)), None);
    }

    #[test]
    fn the_error_of_a_damaged_file_shows_no_secrets() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("credentials.toml"),
            "[servers.\"http://a\".session]\ntoken = \"s3cret\n",
        )
        .unwrap();
        let failure = at(&dir, "http://a").session().err().unwrap().to_string();
        assert!(failure.contains("damaged") && !failure.contains("s3cret"), "{failure}");
    }
}
