//! `POST plan`: what a deployment would do to the schema, and what must be decided first. Nothing is changed.

use axum::response::Response;
use ferry_core::functions::{
    deploy::{WantedSchema, plan},
    schema::SchemaPlan,
};
use ferry_protocol::functions::PlanBody;
use ferry_sqlite::deploy::plan_on_empty;
use ferry_types::Seq;

use super::{
    DeployCall, answer,
    check::{self, DeclaredSchema},
    refusal::DeployError,
};
use crate::database::seq_of;

pub(super) async fn run(asked: &DeployCall<'_>) -> Result<Response, DeployError> {
    let body = PlanBody::decode(asked.body)?;
    let DeclaredSchema { json, schema } = DeclaredSchema::read(body.schema.get())?;
    let hints = check::hints(body.hints.as_deref())?;
    let wanted = WantedSchema { base: body.base, schema_json: json, schema, hints, accepts_drift: true };
    let database = &asked.context.database;
    let (plan, seq): (Result<SchemaPlan, _>, Seq) = if database.has_file().await {
        database.read(move |sql| Ok((plan(sql, &wanted)?, seq_of(sql)?))).await?
    } else {
        let planned = plan_on_empty(&wanted).map_err(ferry_sqlite::Error::into_refusal)?;
        (planned, Seq(0))
    };
    Ok(answer::json(&answer::plan(&plan?), seq))
}
