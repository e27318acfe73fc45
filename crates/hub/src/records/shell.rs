//! What record sync does for the hub.

use std::sync::Arc;

use axum::{extract::Request, response::Response};

use super::{route, service::RecordsService, upkeep, watermark};
use crate::{hub::Hub, shell::Shell};

impl Shell for RecordsService {
    async fn serve(hub: Arc<Hub>, request: Request) -> Result<Response, Request> {
        Ok(route::serve(hub, request).await)
    }

    async fn sweep(hub: &Arc<Hub>) {
        upkeep::sweep(hub).await;
    }

    async fn save_watermarks(hub: &Hub) {
        watermark::save(hub).await;
    }
}
