//! The admin service, typed: accounts, databases, sync tokens. Every call is one request; every failure is a
//! [`ClientError`] with the hub's own words.

mod calls;
pub(crate) mod connection;
mod failure;
mod name;
mod orgs;

use connectrpc::client::{ClientConfig, ServiceTransport};
pub use ferry_protocol::rpc::ferry::admin::v1 as rpc;
use ferry_types::{Code, DatabaseId};
use http::{HeaderValue, header::AUTHORIZATION};

use self::connection::HttpsClient;
pub use self::name::{DatabaseName, nearest};
use crate::{ClientError, ClientErrorCode, Result, ServerUrl};

/// Rows asked for at a time; the hub's own maximum.
const LIST_PAGE_ROWS: i32 = 1000;
/// Names looked through for a suggestion when a database is not found.
const SUGGESTIONS_FROM_MAX: usize = 10_000;

/// Which way pages may flow with a sync token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// The token writes pages.
    Push,
    /// The token reads pages.
    Pull,
}

impl Direction {
    /// The word on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }

    const fn wire(self) -> rpc::Direction {
        match self {
            Self::Push => rpc::Direction::DIRECTION_PUSH,
            Self::Pull => rpc::Direction::DIRECTION_PULL,
        }
    }
}

/// What a sync token shall allow.
#[derive(Clone, Debug, Default)]
pub struct TokenWish {
    /// EdgeReplica's rights; excludes `ops` (TOK-06).
    pub direction: Option<Direction>,
    /// Of `read,write,admin`.
    pub ops: Vec<String>,
    /// Sync models; empty: all.
    pub models: Vec<String>,
    /// Seconds it shall live; 0: the hub's default.
    pub ttl_seconds: i64,
    /// Shown in lists of tokens.
    pub label: String,
}

/// Calls one hub, as one user or as nobody.
pub struct AdminClient {
    rpc: rpc::AdminServiceClient<ServiceTransport<HttpsClient>>,
    server: ServerUrl,
    org: String,
}

impl AdminClient {
    /// A client of `server` with a session token, if there is one. `org` (id or name) is where databases are
    /// looked for and made; empty: the session's own.
    ///
    /// # Errors
    /// When the session token cannot stand in a header.
    pub fn new(server: &ServerUrl, session: Option<&str>, org: &str) -> Result<Self> {
        let mut config =
            ClientConfig::new(server.uri()).proto().with_default_timeout(connection::REQUEST_TIMEOUT);
        if let Some(token) = session {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| ClientError::argument("the session token holds characters that no token has"))?;
            value.set_sensitive(true);
            config = config.with_default_header(AUTHORIZATION, value);
        }
        let transport = ServiceTransport::new(connection::client(server));
        Ok(Self {
            rpc: rpc::AdminServiceClient::new(transport, config),
            server: server.clone(),
            org: org.to_owned(),
        })
    }

    /// The hub that is called.
    #[must_use]
    pub const fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// The organisation that calls are about: id, name, or empty for the session's own.
    #[must_use]
    pub fn org(&self) -> &str {
        &self.org
    }

    /// Creates an account and logs in.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn signup(&self, email: &str, password: &str, invite: &str) -> Result<rpc::AuthResponse> {
        let request = rpc::SignupRequest {
            email: email.to_owned(),
            password: password.to_owned(),
            invite_code: invite.to_owned(),
            ..Default::default()
        };
        self.checked(self.rpc.signup(request).await.map(connectrpc::client::UnaryResponse::into_owned))
    }

    /// Logs in; `label` names this device in lists of sessions.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn login(&self, email: &str, password: &str, label: &str) -> Result<rpc::AuthResponse> {
        let request = rpc::LoginRequest {
            email: email.to_owned(),
            password: password.to_owned(),
            label: label.to_owned(),
            ..Default::default()
        };
        self.checked(self.rpc.login(request).await.map(connectrpc::client::UnaryResponse::into_owned))
    }

    /// Ends the caller's own session, with the sync tokens minted from it unless they are kept.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn logout(&self, keep_sync_tokens: bool) -> Result<()> {
        let request = rpc::RevokeSessionRequest { keep_sync_tokens, ..Default::default() };
        self.checked(self.rpc.revoke_session(request).await.map(drop))
    }

    /// Who the session belongs to.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn whoami(&self) -> Result<rpc::WhoamiInfo> {
        let answer = self.rpc.whoami(rpc::WhoamiRequest::default()).await;
        let answer = self.checked(answer.map(connectrpc::client::UnaryResponse::into_owned))?;
        Ok(answer.whoami.into_option().unwrap_or_default())
    }

    /// Creates a database; `kind` is `hub`, `replica` or empty (the first write decides).
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn create_database(&self, name: &str, kind: &str) -> Result<rpc::Database> {
        let request = rpc::CreateDatabaseRequest {
            name: name.to_owned(),
            org: self.org.clone(),
            kind: kind.to_owned(),
            ..Default::default()
        };
        self.checked(
            self.rpc.create_database(request).await.map(connectrpc::client::UnaryResponse::into_owned),
        )
    }

    /// All databases of the organisation, oldest first.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn databases(&self) -> Result<Vec<rpc::Database>> {
        self.list(&self.org, "", usize::MAX).await
    }

    async fn list(&self, org: &str, prefix: &str, rows_max: usize) -> Result<Vec<rpc::Database>> {
        let mut rows = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = rpc::ListDatabasesRequest {
                org: org.to_owned(),
                name_prefix: prefix.to_owned(),
                page_size: LIST_PAGE_ROWS,
                page_token: std::mem::take(&mut page_token),
                ..Default::default()
            };
            let answer = self.rpc.list_databases(request).await;
            let answer = self.checked(answer.map(connectrpc::client::UnaryResponse::into_owned))?;
            rows.extend(answer.databases);
            page_token = answer.next_page_token;
            if page_token.is_empty() || rows.len() >= rows_max {
                return Ok(rows);
            }
        }
    }

    /// The database of this name or id, with its size, `seq` and kind as they are now.
    ///
    /// # Errors
    /// The hub's refusal, or no answer. An unknown name is answered with the nearest one, if any is near.
    pub async fn database(&self, name: &DatabaseName) -> Result<rpc::Database> {
        let found = match (name, self.org.as_str()) {
            (DatabaseName::Id(id), _) => self.get(id.to_string()).await,
            (DatabaseName::Name { org: None, name }, "") => self.get(name.clone()).await,
            (DatabaseName::Name { org: None, name }, org) => self.find(org, name).await,
            (DatabaseName::Name { org: Some(org), name }, _) => self.find(org, name).await,
        };
        match (found, name) {
            (Err(error), DatabaseName::Name { org, name })
                if error.code == ClientErrorCode::Table(Code::NotFound) =>
            {
                Err(self.with_suggestion(error, org.as_deref().unwrap_or(&self.org), name).await)
            }
            (found, _) => found,
        }
    }

    async fn get(&self, database: String) -> Result<rpc::Database> {
        let request = rpc::GetDatabaseRequest { database, ..Default::default() };
        self.checked(self.rpc.get_database(request).await.map(connectrpc::client::UnaryResponse::into_owned))
    }

    /// Looks a name up in an organisation that is not the session's own.
    async fn find(&self, org: &str, name: &str) -> Result<rpc::Database> {
        let rows = self.list(org, name, usize::MAX).await?;
        let Some(row) = rows.into_iter().find(|row| row.name == name) else {
            return Err(ClientError::new(
                ClientErrorCode::Table(Code::NotFound),
                "NOT_FOUND",
                "database not found",
            ));
        };
        // Rows of a list tell neither size nor seq.
        self.get(row.id).await
    }

    async fn with_suggestion(&self, mut error: ClientError, org: &str, name: &str) -> ClientError {
        let rows = match self.list(org, "", SUGGESTIONS_FROM_MAX).await {
            Ok(rows) => rows,
            // It is the organisation that is not there, or not for the caller.
            Err(refused) if refused.code == error.code && !org.is_empty() => {
                return self.no_org(refused, org).await;
            }
            Err(_) => return error,
        };
        error.message = format!("{}: {name}", error.message);
        match name::nearest(name, rows.iter().map(|row| row.name.as_str())) {
            Some(near) => error.message.push_str(&format!("; did you mean {near}?")),
            None if rows.is_empty() => error.message.push_str("; make it with: ferry db create"),
            None => error.message.push_str("; see: ferry db list"),
        }
        error
    }

    async fn no_org(&self, mut error: ClientError, org: &str) -> ClientError {
        let rows = self.list_orgs(rpc::ListOrgsRequest::default()).await.unwrap_or_default();
        error.message = match name::nearest(org, rows.iter().map(|row| row.name.as_str())) {
            Some(near) => format!("organisation not found: {org}; did you mean {near}?"),
            None => format!("organisation not found: {org}; yours are told by: ferry org list"),
        };
        error
    }

    /// Gives a database another name; id, tokens and connections stay.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn rename_database(&self, id: &str, name: &str) -> Result<rpc::Database> {
        let request = rpc::RenameDatabaseRequest {
            database: id.to_owned(),
            name: name.to_owned(),
            ..Default::default()
        };
        self.checked(
            self.rpc.rename_database(request).await.map(connectrpc::client::UnaryResponse::into_owned),
        )
    }

    /// Deletes a database. `confirm_name` must be its name, so that a rename in between stops the deletion.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn delete_database(&self, id: &str, confirm_name: &str) -> Result<()> {
        let request = rpc::DeleteDatabaseRequest {
            database_id: id.to_owned(),
            confirm_name: confirm_name.to_owned(),
            ..Default::default()
        };
        self.checked(self.rpc.delete_database(request).await.map(drop))
    }

    /// Mints a sync token.
    ///
    /// # Errors
    /// The hub's refusal, or no answer.
    pub async fn issue_sync_token(
        &self,
        database_id: &str,
        wish: &TokenWish,
    ) -> Result<rpc::IssueSyncTokenResponse> {
        let direction = wish.direction.map_or(rpc::Direction::DIRECTION_UNSPECIFIED, Direction::wire);
        let request = rpc::IssueSyncTokenRequest {
            database_id: database_id.to_owned(),
            direction: direction.into(),
            ttl_seconds: wish.ttl_seconds,
            models: wish.models.clone(),
            ops: wish.ops.clone(),
            label: wish.label.clone(),
            ..Default::default()
        };
        self.checked(
            self.rpc.issue_sync_token(request).await.map(connectrpc::client::UnaryResponse::into_owned),
        )
    }

    fn checked<T>(&self, answer: Result<T, connectrpc::ConnectError>) -> Result<T> {
        answer.map_err(|error| failure::from_connect(&self.server, &error))
    }
}

/// The id that the hub gave for a database.
///
/// # Errors
/// When the hub sent something else.
pub fn database_id(database: &rpc::Database) -> Result<DatabaseId> {
    database.id.parse().map_err(|_| {
        ClientError::unverified(format!("the hub sent {:?} where a database id belongs", database.id))
    })
}
