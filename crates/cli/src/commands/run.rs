//! `ferry run`: a function, called as its administrator may.

use std::path::Path;

use ferry_client::ClientError;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{context::Context, failure::Failure, functions_hub, input, output, project::Project};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  ferry run listNotes\n  ferry run addNote '{\"author\":\"me\",\"body\":\"hello\"}'\n  \
    ferry run myNotes --as user-17\n  \
    ferry run backfill --server https://hub.example --database app"
)]
pub(crate) struct Args {
    /// Name of the function; internal ones may be called too
    function: String,
    /// Its arguments, JSON; -: from stdin
    #[arg(default_value = "{}")]
    args: String,
    /// The user as whom it is called: ctx.user.sub [default: nobody]
    #[arg(long, value_name = "SUB")]
    r#as: Option<String>,
    /// Id or name of the database [default: the project's]
    #[arg(long, value_name = "DB")]
    database: Option<String>,
}

pub(crate) async fn run(context: Context, args: Args) -> Result<(), Failure> {
    let text = input::given(args.args, "arguments")?;
    let json = RawValue::from_string(text.trim().to_owned()).map_err(|error| {
        Failure::from(ClientError::argument(format!("the arguments are no JSON: {error}")))
    })?;
    let project = Project::find(Path::new(".")).ok();
    let is_json = context.json;
    let hub = functions_hub::of_project(context, project.as_ref(), args.database.as_deref()).await?;
    let answer = hub.client.run(&args.function, &json, args.r#as.as_deref()).await?;
    if is_json {
        return output::json_text(answer.get());
    }
    #[derive(Deserialize)]
    struct Answer {
        data: Option<Box<RawValue>>,
        #[serde(default)]
        warnings: Vec<String>,
    }
    let answer: Answer = serde_json::from_str(answer.get())
        .map_err(|error| ClientError::unverified(format!("the hub's answer cannot be read: {error}")))?;
    answer.warnings.iter().for_each(|warning| output::note(format_args!("warning: {warning}")));
    match answer.data {
        Some(data) => output::json_text(data.get()),
        None => {
            output::note("(no result)");
            Ok(())
        }
    }
}
