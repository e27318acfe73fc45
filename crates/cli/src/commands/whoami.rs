//! `ferry whoami`.

use serde_json::json;

use crate::{context::Context, failure::Failure, output};

pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let whoami = context.admin()?.whoami().await?;
    if context.json {
        return output::json(&json!({ "whoami": whoami }));
    }
    output::line(format_args!("user_id: {}", whoami.user_id))?;
    output::line(format_args!("email:   {}", whoami.email))?;
    output::line(format_args!("org_id:  {}", whoami.org_id))?;
    output::line(format_args!("role:    {}", whoami.role))
}
