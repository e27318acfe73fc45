//! Which hub, and which database there, a command about functions means; and with which credential it goes there.

use ferry_client::{
    ClientErrorCode, ServerUrl,
    admin::{AdminClient, DatabaseName, rpc},
    functions::FunctionsClient,
};
use ferry_types::Code;

use crate::{
    context::Context,
    failure::Failure,
    project::{Project, dev_lock::RunningDev},
    system::variable,
};

/// The user, the password and the database that a hub in dev mode has (CFG-04).
const DEV_EMAIL: &str = "dev@localhost";
const DEV_PASSWORD: &str = "ferry-dev";
pub(crate) const DEV_DATABASE: &str = "main";

/// The functions of a database at a hub.
pub(crate) struct FunctionsHub {
    pub(crate) client: FunctionsClient,
    pub(crate) server: ServerUrl,
    /// As it was named.
    pub(crate) database: String,
}

/// Those of the hub of a `ferry dev`.
pub(crate) async fn of_dev(server: &ServerUrl, database: &str) -> Result<FunctionsHub, Failure> {
    Ok(log_in(server, database).await?.0)
}

/// The same, with an API key that pages have from elsewhere.
pub(crate) async fn of_dev_with_key(
    server: &ServerUrl,
    database: &str,
    key: &str,
) -> Result<FunctionsHub, Failure> {
    let (hub, admin, id) = log_in(server, database).await?;
    let spec = rpc::ApiKey {
        kind: "publishable".to_owned(),
        label: "project.toml".to_owned(),
        ops: vec!["read".to_owned(), "write".to_owned()],
        value: key.to_owned(),
        ..Default::default()
    };
    let request = rpc::CreateApiKeyRequest { database: id, spec: spec.into(), ..Default::default() };
    match admin.create_api_key(request).await {
        Err(error) if error.code != ClientErrorCode::Table(Code::AlreadyExists) => Err(error.into()),
        // An earlier session made it.
        _ => Ok(hub),
    }
}

async fn log_in(server: &ServerUrl, database: &str) -> Result<(FunctionsHub, AdminClient, String), Failure> {
    let session = AdminClient::new(server, None, "")?.login(DEV_EMAIL, DEV_PASSWORD, "ferry dev").await?;
    let admin = AdminClient::new(server, Some(&session.session_token), "")?;
    let id = admin.database(&database.parse()?).await?.id;
    let client = FunctionsClient::new(server, &session.session_token, &id)?;
    let hub = FunctionsHub { client, server: server.clone(), database: database.to_owned() };
    Ok((hub, admin, id))
}

/// Those that are looked at from a project: of the hub that was named, else of the `ferry dev` that runs there, else of the
/// hub that the project is deployed to.
pub(crate) async fn of_project(
    context: Context,
    project: Option<&Project>,
    database: Option<&str>,
) -> Result<FunctionsHub, Failure> {
    if !context.is_server_given
        && database.is_none()
        && let Some(running) = project.and_then(RunningDev::find)
        && let Ok(server) = running.url.parse()
    {
        return of_dev(&server, &running.database).await;
    }
    deployed(context, None, project, database).await
}

/// Those that a project is deployed to.
pub(crate) async fn deployed(
    context: Context,
    hub: Option<&str>,
    project: Option<&Project>,
    database: Option<&str>,
) -> Result<FunctionsHub, Failure> {
    let of_settings = project.and_then(|project| project.settings.hub.url.as_deref());
    let context = match (hub, of_settings) {
        (Some(hub), _) => context.at(hub)?,
        (None, Some(url)) if !context.is_server_given => context.at(url)?,
        _ => context,
    };
    let server = context.server.clone();
    if let Some(token) = variable("FERRY_SYNC_TOKEN") {
        let database = database.unwrap_or("-");
        let client = FunctionsClient::new(&server, token.trim(), database)?;
        return Ok(FunctionsHub { client, server, database: database.to_owned() });
    }
    let of_settings = project.and_then(|project| project.settings.hub.database.as_deref());
    let name = database.or(of_settings).ok_or_else(|| {
        Failure::Usage("which database? Give --database, or set [hub] database in project.toml".to_owned())
    })?;
    let session = context.session()?;
    let parsed: DatabaseName = name.parse()?;
    let found = context.admin()?.database(&parsed).await.map_err(|mut error| {
        if error.code == ClientErrorCode::Table(Code::NotFound) {
            error.message.push_str(&format!("; to make it: ferry db create {name} --server {server}"));
        }
        error
    })?;
    let client = FunctionsClient::new(&server, &session, &found.id)?;
    Ok(FunctionsHub { client, server, database: name.to_owned() })
}
