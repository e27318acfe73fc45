//! The shells of all models: what the routes and the server ask of each.

use std::sync::Arc;

use axum::{extract::Request, response::Response};
use ferry_types::Model;

use crate::{hub::Hub, metric_help::Metric, models::for_each_model, shell::Shell};

macro_rules! dispatch {
    ($($name:ident: $model:ident, $config:ident, $state:ident, $service:ident;)+) => {
        /// Has the model answer. `Err`: this hub has no such endpoint.
        pub(crate) async fn serve(model: Model, hub: Arc<Hub>, request: Request) -> Result<Response, Request> {
            match model {
                $(Model::$model => <crate::$name::$service as Shell>::serve(hub, request).await,)+
            }
        }

        /// The metrics of all models.
        pub(crate) fn metrics() -> impl Iterator<Item = &'static Metric> {
            [$(<crate::$name::$service as Shell>::METRICS),+].into_iter().flatten()
        }

        /// See [`Shell::start`].
        pub(crate) fn start(hub: &Arc<Hub>) {
            $(<crate::$name::$service as Shell>::start(hub);)+
        }

        /// See [`Shell::sweep`].
        pub(crate) async fn sweep(hub: &Arc<Hub>) {
            $(<crate::$name::$service as Shell>::sweep(hub).await;)+
        }

        /// See [`Shell::save_watermarks`].
        pub(crate) async fn save_watermarks(hub: &Hub) {
            $(<crate::$name::$service as Shell>::save_watermarks(hub).await;)+
        }

        /// See [`Shell::set_gauges`].
        pub(crate) fn set_gauges(hub: &Hub) {
            $(<crate::$name::$service as Shell>::set_gauges(hub);)+
        }
    };
}
for_each_model!(dispatch);
