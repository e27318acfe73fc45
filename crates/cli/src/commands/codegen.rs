//! `ferry codegen`: a client and the types of what is deployed, for a page that has none of its sources (FUN-73).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ferry_client::functions::FunctionsClient;
use serde_json::json;

use crate::{
    context::Context,
    embedded,
    failure::Failure,
    functions_hub, output,
    project::{DEFAULT_DIR, Project, types_file},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ferry codegen --server https://hub.example --key fy_pk_…\n  \
    ferry codegen --server https://hub.example --database app --dir src/ferry")]
pub(crate) struct Args {
    /// A publishable key of the database: instead of a login, and written into the client
    #[arg(long)]
    key: Option<String>,
    /// Id or name of the database [default: the key's, or the project's]
    #[arg(long, value_name = "DB")]
    database: Option<String>,
    /// Where the files go [default: the project's folder of functions, else ferry]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

pub(crate) async fn run(context: Context, args: Args) -> Result<(), Failure> {
    let project = Project::find(Path::new(".")).ok();
    let json = context.json;
    let (types, url) = match &args.key {
        Some(key) => {
            let database = args.database.as_deref().unwrap_or("-");
            let types = FunctionsClient::api_types_by_key(&context.server, key, database).await?;
            (types, context.server.to_string())
        }
        None => {
            let hub = functions_hub::of_project(context, project.as_ref(), args.database.as_deref()).await?;
            (hub.client.api_types().await?, hub.server.to_string())
        }
    };
    let of_project = || project.as_ref().map(|project| project.dir.clone());
    let dir = args.dir.clone().or_else(of_project).unwrap_or_else(|| PathBuf::from(DEFAULT_DIR));
    let failed = |error: io::Error| Failure::other(format!("{}: {error}", dir.display()));
    let mut written = vec![dir.join(types_file::FOLDER).join(types_file::NAME)];
    types_file::write_to(&dir, &types)?;
    let client = dir.join("client.ts");
    if !client.exists() {
        fs::write(&client, client_text(&url, args.key.as_deref())).map_err(failed)?;
        written.push(client);
    }
    // No registry has it.
    let package = dir.join("packages").join(format!("ferry-client-{}.tgz", env!("CARGO_PKG_VERSION")));
    if !package.exists() {
        fs::create_dir_all(dir.join("packages")).map_err(failed)?;
        fs::write(&package, embedded::packed("client").map_err(failed)?).map_err(failed)?;
        written.push(package.clone());
    }
    if json {
        return output::json(&json!({ "files": written }));
    }
    written.iter().try_for_each(|path| output::line(format_args!("written: {}", path.display())))?;
    output::line(format_args!("if it is not installed yet: npm install ./{}", package.display()))
}

fn client_text(url: &str, key: Option<&str>) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let key = key.map_or_else(|| "\"\" /* a publishable key: ferry key create */".to_owned(), quoted);
    format!(
        "// Yours to change; .generated/api.d.ts is made anew by ferry codegen.\n\
         import {{ createClient }} from \"@ferry/client/functions\";\n\n\
         export type {{ Api }} from \"./.generated/api\";\n\n\
         export const client = createClient({{ url: {}, key: {key} }});\n",
        quoted(url)
    )
}
