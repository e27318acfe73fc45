//! `ferry jwt …`: which foreign tokens a database takes, and the keys that sign its own.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use ferry_client::{
    admin::{DatabaseName, rpc},
    functions::FunctionsClient,
};
use ferry_types::{Model, Op};
use serde_json::{Value, json};

use crate::{context::Context, failure::Failure, output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what the database demands of JWTs and grants them
    #[command(after_help = "Example:\n  ferry jwt show notes")]
    Show {
        /// Id, name or org/name
        db: DatabaseName,
    },
    /// Take the JWTs of an issuer; replaces what was set before
    Set(SetArgs),
    /// Try a JWT as a data endpoint would, and say why it is refused
    #[command(after_help = "Example:\n  ferry jwt test notes - < token.jwt")]
    Test {
        /// Id, name or org/name
        db: DatabaseName,
        /// The JWT; -: standard input, which other users of the machine cannot read
        #[arg(default_value = "-")]
        token: String,
    },
    /// Let a new key sign the JWTs that functions of the database make; those of the old one hold until they expire
    #[command(after_help = "Example:\n  ferry jwt rotate app")]
    Rotate {
        /// Id, name or org/name
        db: DatabaseName,
    },
    /// Let a private key of EdgePod's sign them, so that tokens it signed hold on
    #[command(after_help = "Example:\n  ferry jwt import app private-key.json")]
    Import {
        /// Id, name or org/name
        db: DatabaseName,
        /// File with the key, a private JSON Web Key; -: standard input
        file: PathBuf,
    },
    /// Take no JWTs any more
    #[command(after_help = "Example:\n  ferry jwt remove notes")]
    Remove {
        /// Id, name or org/name
        db: DatabaseName,
    },
}

#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("keys").required(true),
    after_help = "Examples:\n  ferry jwt set notes --issuer https://id.example --audience notes \\\n      \
        --jwks-url https://id.example/.well-known/jwks.json\n  \
        ferry jwt set notes --issuer https://id.example --audience notes \\\n      \
        --jwks-file keys.json --model records"
)]
pub(crate) struct SetArgs {
    /// Id, name or org/name
    db: DatabaseName,
    /// What JWTs must have in iss; *: any
    #[arg(long, value_name = "ISS")]
    issuer: String,
    /// Of these, JWTs must have one in aud; *: any or none
    #[arg(long, required = true, value_delimiter = ',', value_name = "AUD")]
    audience: Vec<String>,
    /// Where the issuer publishes its keys: https, a public server
    #[arg(long, group = "keys", value_name = "URL")]
    jwks_url: Option<String>,
    /// File with the keys: a JSON Web Key Set
    #[arg(long, group = "keys", value_name = "FILE")]
    jwks_file: Option<PathBuf>,
    /// Of EdDSA, ES256, RS256 [default: all]
    #[arg(long, value_delimiter = ',', value_name = "ALGS")]
    algorithm: Vec<String>,
    /// Grace on exp and nbf [default: 5, at most 300]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=300))]
    leeway_seconds: Option<i64>,
    /// Largest age since iat [default: any]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    max_age_seconds: Option<i64>,
    /// Sync models they reach [default: records,events,ops,functions]
    #[arg(long, value_delimiter = ',', value_name = "MODELS")]
    model: Vec<Model>,
    /// What they may do, of read, write [default: both]
    #[arg(long, value_delimiter = ',', value_name = "OPS")]
    op: Vec<Op>,
}

impl SetArgs {
    fn settings(&self) -> Result<rpc::JwtSettings, Failure> {
        let jwks_json = match &self.jwks_file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?,
        };
        Ok(rpc::JwtSettings {
            jwks_url: self.jwks_url.clone().unwrap_or_default(),
            jwks_json,
            issuer: self.issuer.clone(),
            audiences: self.audience.clone(),
            algorithms: self.algorithm.clone(),
            leeway_seconds: self.leeway_seconds.unwrap_or(0),
            max_age_seconds: self.max_age_seconds.unwrap_or(0),
            models: self.model.iter().map(ToString::to_string).collect(),
            ops: self.op.iter().map(ToString::to_string).collect(),
            ..Default::default()
        })
    }
}

pub(crate) async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Show { db } => show(context, &db).await,
        Command::Set(args) => set(context, &args.db, args.settings()?, "set").await,
        Command::Remove { db } => set(context, &db, rpc::JwtSettings::default(), "removed").await,
        Command::Test { db, token } => test(context, &db, token).await,
        Command::Rotate { db } => {
            let kid = functions(context, &db).await?.rotate_key().await?;
            shown(context, &kid)
        }
        Command::Import { db, file } => {
            let jwk = private_key(&file)?;
            let kid = functions(context, &db).await?.import_key(&jwk).await?;
            shown(context, &kid)
        }
    }
}

/// The functions of a database as their administrator sees them: with the session.
async fn functions(context: &Context, db: &DatabaseName) -> Result<FunctionsClient, Failure> {
    let session = context.session()?;
    let database = context.admin()?.database(db).await?;
    Ok(FunctionsClient::new(&context.server, &session, &database.id)?)
}

fn shown(context: &Context, kid: &str) -> Result<(), Failure> {
    if context.json {
        return output::json(&json!({ "kid": kid }));
    }
    output::line(kid)
}

/// Reads a private key. What is wrong with its text is not quoted.
fn private_key(file: &Path) -> Result<Value, Failure> {
    let name = file.display();
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|error| Failure::Usage(format!("{name}: {error}")))?;
    serde_json::from_str(&text).map_err(|_| {
        Failure::Usage(format!(
            "{name}: expected a private JSON Web Key, such as {{\"kty\":\"EC\",\"crv\":\"P-256\",…}}"
        ))
    })
}

async fn set(
    context: &Context,
    db: &DatabaseName,
    settings: rpc::JwtSettings,
    done: &str,
) -> Result<(), Failure> {
    let admin = context.admin()?;
    let database = admin.database(db).await?.id;
    let request = rpc::SetJwtSettingsRequest {
        database: database.clone(),
        settings: settings.into(),
        ..Default::default()
    };
    admin.set_jwt_settings(request).await?;
    if context.json {
        return output::json(&json!({}));
    }
    output::line(format_args!("{done} {database}"))
}

async fn show(context: &Context, db: &DatabaseName) -> Result<(), Failure> {
    let admin = context.admin()?;
    let database = admin.database(db).await?.id;
    let request = rpc::GetJwtSettingsRequest { database, ..Default::default() };
    let settings = admin.get_jwt_settings(request).await?;
    if context.json {
        return output::json(&settings);
    }
    if settings == rpc::JwtSettings::default() {
        output::note("(no JWT settings)");
        return Ok(());
    }
    let keys = if settings.jwks_url.is_empty() { "(a key set of its own)" } else { &settings.jwks_url };
    let or = |list: &[String], default: &str| match list {
        [] => default.to_owned(),
        some => some.join(","),
    };
    output::line(format_args!("keys: {keys}"))?;
    output::line(format_args!("issuer: {}", settings.issuer))?;
    output::line(format_args!("audiences: {}", settings.audiences.join(",")))?;
    output::line(format_args!("algorithms: {}", or(&settings.algorithms, "EdDSA,ES256,RS256")))?;
    // On the wire 0 stands for the default.
    let leeway_seconds = if settings.leeway_seconds == 0 { 5 } else { settings.leeway_seconds };
    output::line(format_args!("leeway_seconds: {leeway_seconds}"))?;
    output::line(format_args!("max_age_seconds: {}", settings.max_age_seconds))?;
    output::line(format_args!("models: {}", or(&settings.models, "records,events,ops,functions")))?;
    output::line(format_args!("ops: {}", or(&settings.ops, "read,write")))
}

async fn test(context: &Context, db: &DatabaseName, token: String) -> Result<(), Failure> {
    let mut text = token;
    if text == "-" {
        text.clear();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| Failure::Usage(format!("cannot read the JWT from stdin: {error}")))?;
    }
    let admin = context.admin()?;
    let database = admin.database(db).await?.id;
    let request = rpc::TestJwtRequest { database, token: text.trim().to_owned(), ..Default::default() };
    let trial = admin.test_jwt(request).await?;
    if context.json {
        return output::json(&trial);
    }
    if !trial.ok {
        return Err(Failure::other(format!("this JWT is refused: {}", trial.reason)));
    }
    output::row(&["ok", &trial.sub, &trial.exp_unix.to_string()])
}
