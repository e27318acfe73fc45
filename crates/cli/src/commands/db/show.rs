//! `ferry db show DB`.

use ferry_client::admin::DatabaseName;

use crate::{context::Context, failure::Failure, output};

pub(super) async fn run(context: &Context, name: &DatabaseName) -> Result<(), Failure> {
    let database = context.admin()?.database(name).await?;
    if context.json {
        return output::json(&database);
    }
    let kind = if database.kind.is_empty() { "(not yet fixed)" } else { &database.kind };
    output::line(format_args!("id: {}", database.id))?;
    output::line(format_args!("name: {}", database.name))?;
    output::line(format_args!("org_id: {}", database.org_id))?;
    output::line(format_args!("kind: {kind}"))?;
    output::line(format_args!("size_bytes: {}", database.size_bytes))?;
    output::line(format_args!("seq: {}", database.seq))?;
    output::line(format_args!("connections: {}", database.connections))?;
    output::line(format_args!("created_at_unix: {}", database.created_at_unix))?;
    output::line(format_args!("last_activity_unix: {}", database.last_activity_unix))?;
    database.lanes.iter().try_for_each(|lane| {
        output::line(format_args!(
            "lane {}: seq={} items={} bytes={}",
            lane.model, lane.head_seq, lane.items, lane.bytes
        ))
    })
}
