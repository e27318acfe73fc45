//! Opening the control plane: files, keys, schema, directory, and the seed of `--dev`. Every mistake that an
//! operator must mend ends the start with its text (exit code 78).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use ferry_auth::{KeyRing, jwt::JwtSettings, password::Hasher};
use ferry_database::InlineRuns;
use ferry_http_client::HttpClient;
use ferry_sqlite::{
    Writer, connection,
    migrate::{self, SchemaState},
};
use ferry_types::{Clock, DatabaseKind, OrgId, Result, UnixMillis, UserId};
use rusqlite::{Connection, OptionalExtension as _};

use crate::{
    Control,
    config::{ControlConfig, StartError, StoreAccess},
    control_db::ControlDb,
    credentials::{
        api_keys::{
            seed::{forget_store_tokens, seed_api_key, seed_store_token},
            usage::ApiKeys,
        },
        authenticate::Authenticator,
        budgets::Budgets,
        functions::reseal::reseal,
        jwks::Jwks,
        jwt::Jwts,
        key_ring::Keys,
        macaroons::Macaroons,
        operator_token::OperatorToken,
        secret_files,
        signing_keys::SigningKeys,
        throttling::Limiter,
        tokens::issue::TokenLives,
    },
    databases::{
        create::insert_database, kinds::Kinds, storage::DatabaseStorage, tenants::Tenants,
        watermarks::Watermarks,
    },
    directory::{
        Directory,
        columns::parsed,
        function_index::FunctionIndex,
        function_rows, load,
        shared::SharedDirectory,
        tables::{MIGRATIONS, MIN_READER},
    },
    identity::{
        accounts::Accounts,
        new_user::{NewUser, new_user, store_user},
        oauth::OAuth,
        operator_code::OperatorCode,
        passwords::pool::PasswordPool,
    },
    kept_copy,
    lineage::{KnownLineage, LineageBook, NewRun},
    mail,
    origin::Origin,
    random,
    random::Ids,
};

/// E-mail of the user that `--dev` starts with.
const DEV_EMAIL: &str = "dev@localhost";
/// Its password: as public as the signing key, on a hub that only loopback reaches.
const DEV_PASSWORD: &str = "ferry-dev";
/// Value of the API key that `--dev` starts with.
const DEV_API_KEY: &str = "fy_pk_dev";
/// Name of the database that `--dev` starts with.
const DEV_DATABASE: &str = "main";
/// E-mail of the owner of a spoke's store.
const STORE_EMAIL: &str = "store@localhost";
/// Name of the database that it is.
const STORE_DATABASE: &str = "main";

impl Control {
    /// Whether this program may use the `control.db` that is there, or make one; nothing is changed.
    ///
    /// # Errors
    /// Why it may not.
    pub fn check(config: &ControlConfig) -> Result<(), StartError> {
        check_existing(&config.data_dir.join("control.db"), config)
    }

    /// Opens the control plane in the data directory, whose lock the caller holds, and names the run of the hub there.
    ///
    /// # Errors
    /// For anything that an operator must mend.
    pub async fn open(
        config: ControlConfig,
        run: Option<NewRun>,
        inline: &Arc<InlineRuns>,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StartError> {
        let now = clock.now();
        let hasher =
            Hasher::new(config.argon2_memory_kib, config.argon2_iterations, config.argon2_parallelism)
                .map_err(|error| StartError(error.to_string()))?;
        let preparing = config.clone();
        let prepared = tokio::task::spawn_blocking(move || Prepared::open(&preparing, run, now)).await;
        let Prepared { keys, operator_digest, hub_id, directory, known, path } =
            prepared.map_err(|_| StartError("opening control.db panicked".to_owned()))??;
        let state = Arc::new(SharedDirectory::new(directory));
        let http_client = Arc::new(HttpClient::default());
        let jwks = Jwks::new(Arc::clone(&http_client), Arc::clone(&clock), Arc::clone(&state));
        let db = Arc::new(ControlDb::new(path, inline, state, clock, config.mail.is_some()));
        let rates = Arc::new(Limiter::new(config.rate_limit_scale));
        let accounts = Arc::new(Accounts {
            db: Arc::clone(&db),
            passwords: PasswordPool::new(hasher, config.password_concurrency),
            rates: Arc::clone(&rates),
            failures: Limiter::new(1.0),
            signup: config.signup,
            operator_code: OperatorCode::default(),
            session_ttl_seconds: config.session_ttl_seconds,
        });
        let authenticator = Authenticator {
            macaroons: Macaroons::new(Arc::clone(&db)),
            api_keys: ApiKeys::new(Arc::clone(&db), Arc::clone(&rates)),
            jwts: Jwts::new(Arc::clone(&db), jwks, config.jwt_stores_claim.clone()),
            operator: OperatorToken(operator_digest),
            db: Arc::clone(&db),
            rates,
            anonymous: config.anonymous_models(),
        };
        let longest_life = config.session_ttl_seconds.max(config.max_sync_token_ttl_seconds);
        let control = Arc::new(Self {
            hub_id,
            authenticator,
            budgets: Budgets::new(Arc::clone(&db)),
            signing_keys: SigningKeys::new(Arc::clone(&db), keys, config.data_dir.clone(), longest_life),
            kinds: Kinds::new(Arc::clone(&db)),
            tenants: Tenants::new(Arc::clone(&db), config.max_databases_per_org),
            watermarks: Watermarks::new(Arc::clone(&db)),
            lineage: LineageBook::new(Arc::clone(&db), known),
            storage: Arc::new(DatabaseStorage::new(Arc::clone(&db))),
            oauth: OAuth::new(Arc::clone(&accounts), config.oauth.clone(), Arc::clone(&http_client)),
            accounts,
            token_lives: TokenLives {
                default_seconds: config.sync_token_ttl_seconds,
                max_seconds: config.max_sync_token_ttl_seconds,
            },
            max_databases_per_org: config.max_databases_per_org,
            http_client,
            db,
            config,
        });
        if control.config.dev {
            control.seed().await.map_err(|error| StartError(format!("seeding --dev: {error}")))?;
        }
        if let Some(access) = &control.config.store_access {
            control.seed_store(access).await.map_err(|error| StartError(format!("the store: {error}")))?;
        }
        control.signing_keys.prune().await;
        Ok(control)
    }

    /// Makes the one database of a hub over a spoke's store, if it is missing, and the token that opens it.
    async fn seed_store(&self, access: &StoreAccess) -> ferry_types::Result<()> {
        let found = self.db.directory().databases().next().cloned();
        let database = match found {
            Some(database) => database,
            None => {
                let origin = Origin::hub();
                // Nobody logs in as its owner.
                let password = hex::encode(random::bytes::<32>()?);
                let (user, org) = self.seed_user(STORE_EMAIL, &password, self.db.now(), &origin).await?;
                let kind = Some(DatabaseKind::Hub);
                let by = (user, None);
                insert_database(&self.db, 1, by, org, STORE_DATABASE.into(), kind, &origin).await?
            }
        };
        self.db.directory_mut().set_default_database(&database.id.to_string());
        match access {
            StoreAccess::ThisMachine => Ok(()),
            StoreAccess::Token(token) => seed_store_token(&self.db, &database, token).await,
        }
    }

    /// Makes the user and database of `--dev`, if they are missing (CFG-04).
    async fn seed(&self) -> ferry_types::Result<()> {
        let now = self.db.now();
        let origin = Origin::hub();
        let known = self
            .db
            .read(|connection| {
                let sql = "SELECT users.id, organizations.id FROM users
                           JOIN organizations ON owner_user_id = users.id AND personal WHERE email_key = ?1";
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query([DEV_EMAIL])?;
                let Some(row) = rows.next()? else { return Ok(None) };
                Ok(Some((parsed(row, 0)?, parsed(row, 1)?)))
            })
            .await?;
        let (user_id, org_id): (UserId, OrgId) = match known {
            Some(ids) => ids,
            None => self.seed_user(DEV_EMAIL, DEV_PASSWORD, now, &origin).await?,
        };
        let found = self.db.directory().database_named(org_id, DEV_DATABASE).cloned();
        let database = match found {
            Some(database) => database,
            None => {
                insert_database(
                    &self.db,
                    self.max_databases_per_org,
                    (user_id, None),
                    org_id,
                    DEV_DATABASE.into(),
                    None,
                    &origin,
                )
                .await?
            }
        };
        if self.config.default_database.is_none() {
            // By its id: others may call theirs so too.
            self.db.directory_mut().set_default_database(&database.id.to_string());
        }
        seed_api_key(&self.db, &database, DEV_API_KEY).await
    }

    async fn seed_user(
        &self,
        email: &str,
        password: &str,
        now: UnixMillis,
        origin: &Origin,
    ) -> ferry_types::Result<(UserId, OrgId)> {
        let secret = self.accounts.hash_password(password).await?;
        let user = NewUser { is_verified: true, ..new_user(&self.db, email.to_owned(), secret, now) };
        let ids = (user.user_id, user.org_id);
        store_user(&self.accounts, user, origin).await?;
        Ok(ids)
    }
}

impl Control {
    /// Refuses a setting that names nothing: whoever is let in by it would meet `database not found` for ever (CFG-07).
    ///
    /// # Errors
    /// When there is no such database, or more than one.
    pub fn check_default_database(&self) -> Result<(), StartError> {
        let Some(setting) = &self.config.default_database else { return Ok(()) };
        let directory = self.db.directory();
        if directory.default_database().is_some() {
            return Ok(());
        }
        let count = directory.databases().filter(|entry| entry.name.as_ref() == setting).count();
        Err(StartError(if count > 1 {
            format!(
                "default_database {setting:?}: {count} databases have this name; set it to an id (`ferry db list` shows them)"
            )
        } else {
            format!(
                "default_database {setting:?}: no database has this name or id; correct it, or start once without it, \
                 make the database (`ferry db create {setting}`), and set it then"
            )
        }))
    }
}

/// What the files hold.
struct Prepared {
    keys: Keys,
    operator_digest: [u8; 32],
    hub_id: String,
    directory: Directory,
    known: KnownLineage,
    path: PathBuf,
}

impl Prepared {
    fn open(config: &ControlConfig, run: Option<NewRun>, now: UnixMillis) -> Result<Self, StartError> {
        let path = config.data_dir.join("control.db");
        // Before anything is written: whether this program may use what is there.
        check_existing(&path, config)?;
        let keys = secret_files::keys(config, now)?;
        let operator_digest = secret_files::operator_digest(&config.data_dir)?;
        secret_files::ensure_private(&path)?;
        let opened = open_database(&path, config, keys.ring(), now);
        let (directory, hub_id) = opened.map_err(|error| failed(&path, &error))?;
        let known = run.map_or_else(|| Ok(KnownLineage::default()), |run| named(&path, run, now));
        let known = known.map_err(|error| failed(&path, &error))?;
        Ok(Self { keys, operator_digest, hub_id, directory, known, path })
    }
}

/// Names the run, before anything else is written.
fn named(path: &Path, run: NewRun, now: UnixMillis) -> ferry_sqlite::Result<KnownLineage> {
    let connection = connection::open_writer(path)?;
    let known = run.name(&connection, now)?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(known)
}

/// What is to be done about a `control.db` that this program must not write.
pub(crate) const NEWER: &str = "a newer ferry wrote it: start that one, or restore an older backup";

/// What a data directory is for: none becomes another.
const fn mode_name(config: &ControlConfig) -> &'static str {
    match (config.dev, &config.store_access) {
        (_, Some(_)) => "store",
        (true, None) => "dev",
        (false, None) => "server",
    }
}

pub(crate) fn failed(path: &Path, error: &dyn std::fmt::Display) -> StartError {
    StartError(format!("{}: {error}", path.display()))
}

/// Refuses a `control.db` of the other mode, of a newer program, or one that must not be migrated, and leaves
/// it untouched (CFG-03, CFG-05).
fn check_existing(path: &Path, config: &ControlConfig) -> Result<(), StartError> {
    let exists = path.metadata().is_ok_and(|metadata| metadata.len() > 0);
    if !exists {
        return check_nothing_lost(config);
    }
    let dir = config.data_dir.display();
    let connection = connection::open_reader(path).map_err(|error| failed(path, &error))?;
    match migrate::state(&connection, MIGRATIONS).map_err(|error| failed(path, &error))? {
        SchemaState::Current => {}
        // A newer program that lets this one go on (OPR-77).
        SchemaState::Compatible(_) => {}
        SchemaState::Newer(_) => return Err(failed(path, &NEWER)),
        // The start that made the file was cut short before its first table.
        SchemaState::Pending(_) if is_empty(&connection).map_err(|error| failed(path, &error))? => {
            return check_nothing_lost(config);
        }
        SchemaState::Pending(count) if !config.auto_migrate => {
            let message =
                format!("{count} migrations are pending and auto_migrate is off: back up, then turn it on");
            return Err(failed(path, &message));
        }
        SchemaState::Pending(_) => {}
    }
    let mode = stored_mode(&connection).map_err(|error| failed(path, &error))?;
    if let Some(mode) = mode.filter(|mode| mode != mode_name(config)) {
        let made = match mode.as_str() {
            "store" => "by ferry spoke --mode server",
            "dev" => "with --dev",
            _ => "without --dev",
        };
        return Err(StartError(format!("data_dir {dir}: it was made {made}; choose another --data-dir")));
    }
    Ok(())
}

/// Refuses to begin anew where there are databases already (CFG-07): without `control.db` nobody could reach them, and the
/// old one could not be put back once there is a new one.
fn check_nothing_lost(config: &ControlConfig) -> Result<(), StartError> {
    let folder = config.data_dir.join("databases");
    let count = std::fs::read_dir(&folder).map_or(0, |entries| entries.flatten().count());
    if count == 0 {
        return Ok(());
    }
    Err(StartError(format!(
        "data_dir {}: control.db is missing, which holds the accounts and says whose the {count} databases in {} are: \
         put it back from a backup, with its -wal if there is one; for a new hub, choose an empty --data-dir",
        config.data_dir.display(),
        folder.display()
    )))
}

/// Whether the file holds no table but the writer's own.
fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    let sql =
        "SELECT NOT EXISTS(SELECT 1 FROM sqlite_schema WHERE name NOT IN ('_ferry_meta') AND type = 'table')";
    connection.query_row(sql, [], |row| row.get(0))
}

fn stored_mode(connection: &Connection) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM meta WHERE key = 'mode'", [], |row| row.get(0)).optional()
}

/// Migrates `control.db`, notes mode and hub id on first start, and reads the directory and the hub id.
fn open_database(
    path: &Path,
    config: &ControlConfig,
    ring: KeyRing,
    now: UnixMillis,
) -> ferry_sqlite::Result<(Directory, String)> {
    let mut writer = Writer::open(path)?;
    if migrate::takes_away(writer.connection(), MIGRATIONS, MIN_READER)? {
        kept_copy::keep(&mut writer, &config.data_dir)?;
    }
    migrate::run_noting(writer.connection(), MIGRATIONS, MIN_READER)?;
    let hub_id = Ids::new().next(now).to_string();
    writer.connection().execute(
        "INSERT OR IGNORE INTO meta(key, value) VALUES ('mode', ?1), ('hub_id', ?2)",
        [mode_name(config), &hub_id],
    )?;
    let hub_id =
        writer.connection().query_row("SELECT value FROM meta WHERE key = 'hub_id'", [], |row| row.get(0))?;
    // A key of SESSION_KEY may be taken out at the next start.
    reseal(writer.connection(), &ring, ring.signing())?;
    mail::reseal(writer.connection(), &ring, ring.signing())?;
    if config.store_access.is_some() {
        forget_store_tokens(writer.connection())?;
    }
    let mut directory = load::directory(writer.connection(), ring, now)?;
    let functions = function_rows::load_all(writer.connection())?;
    directory.set_require_verified(config.mail.as_ref().is_some_and(|mail| mail.require_verified));
    *directory.functions_mut() = FunctionIndex::new(&config.public_url, functions);
    if let Some(text) = &config.jwt {
        let settings = JwtSettings::try_from(text).expect("BUG: the configuration checked the JWT settings");
        directory.jwt_mut().set_operator(Arc::new(settings));
    }
    if let Some(setting) = &config.default_database {
        directory.set_default_database(setting);
    }
    writer.close()?;
    Ok((directory, hub_id))
}
