//! What this API answers.

use axum::response::Response;
use ferry_core::functions::schema::{LossyCast, PlanStep, SchemaPlan, SchemaQuestion};
use ferry_protocol::functions::{PlanAnswer, PlanStepView, QuestionView};
use ferry_types::Seq;
use http::HeaderValue;
use serde::Serialize;

use super::super::response;

/// A body of JSON, and the newest commit.
pub(super) fn json(body: &impl Serialize, seq: Seq) -> Response {
    let text = serde_json::to_string(body).expect("BUG: answers are plain data");
    let mut response = response::json(&text);
    response.headers_mut().insert("ferry-seq", HeaderValue::from(seq.0));
    response
}

/// A step, as it is shown.
pub(super) fn step(step: &PlanStep) -> PlanStepView<'_> {
    PlanStepView {
        op: step.op.as_str(),
        table: &step.table,
        column: step.column.as_deref(),
        sql: step.sql(),
        destructive: step.destructive,
        rebuild: step.rebuild,
        rows: step.rows,
    }
}

/// A plan, as it is shown.
pub(super) fn plan(plan: &SchemaPlan) -> PlanAnswer<'_> {
    let impossible = plan.impossible.iter().map(|message| QuestionView::Impossible { message });
    let losses = plan.losses.iter().map(|loss| QuestionView::Loss { what: &loss.what, count: loss.count });
    let questions = plan.questions.iter().map(question).chain(plan.lossy.iter().map(lossy));
    PlanAnswer {
        steps: plan.all_steps().map(step).collect(),
        questions: questions.chain(losses).chain(impossible).collect(),
        warnings: &plan.warnings,
    }
}

fn question(question: &SchemaQuestion) -> QuestionView<'_> {
    match question {
        SchemaQuestion::Renamed { from, to } => QuestionView::Rename { from, to },
        SchemaQuestion::Required { column, rows } => QuestionView::Required { column, rows: *rows },
        SchemaQuestion::Cast { column, from, to } => {
            QuestionView::Cast { column: column.clone(), from: from.as_str(), to: to.as_str(), rows: 0 }
        }
    }
}

fn lossy(cast: &LossyCast) -> QuestionView<'_> {
    let column = format!("{}.{}", cast.table, cast.column);
    QuestionView::Cast { column, from: cast.from.as_str(), to: cast.to.as_str(), rows: cast.rows }
}
