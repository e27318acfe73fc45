//! Liveness, readiness, and metrics (control specification, section 2.4).

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use axum::{
    Extension, Json,
    extract::{ConnectInfo, State},
    response::{IntoResponse as _, Response},
};
use ferry_control::ClientIp;
use http::{HeaderMap, StatusCode, Uri, header};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::json;

use crate::{
    backup::Backups,
    entry::AskedByPage,
    http::{is_forwarded, names_this_machine},
    hub::Hub,
    metric_help, process_metrics, shells,
};

/// Free bytes below which the disk counts as low.
const DISK_LOW_BYTES: u64 = 64 << 20;

/// Upper bounds of the histograms' buckets, seconds: from a commit that waits for no disk to a call that waits for others.
/// Fixed, so that histograms of several hubs can be summed.
const BUCKETS_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// `GET /healthz`.
pub(crate) async fn healthz() -> &'static str {
    "ok"
}

/// `GET /health`, with the members of compatible record servers.
pub(crate) async fn health(State(hub): State<Arc<Hub>>) -> Response {
    Json(json!({
        "connections": hub.databases.connections(),
        "service": "ferry",
        "status": "ok",
        "timestamp": hub.clock.now().to_string(),
        "users": hub.control.user_count(),
        "version": env!("CARGO_PKG_VERSION"),
    }))
    .into_response()
}

/// `GET /readyz`: whether new work is welcome.
pub(crate) async fn readyz(
    State(hub): State<Arc<Hub>>,
    Extension(backups): Extension<Arc<Backups>>,
) -> Response {
    if hub.stopping.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "draining"}))).into_response();
    }
    let control = if hub.control.is_healthy() { "ok" } else { "failing" };
    let disk = match disk_free_bytes(&hub) {
        Some(free) if free >= DISK_LOW_BYTES => "ok",
        Some(_) => "low",
        None => "failing",
    };
    // A backup that is late keeps nobody from working: it is told, and makes no 503 (operate specification, 2.4).
    let backup = backups.health();
    // Neither does a restore, which is told as long as the run lasts that found it.
    let lineage = hub.lineage.as_ref().and_then(|lineage| lineage.health());
    let mut checks = json!({});
    for (name, check) in [("backup", backup), ("lineage", lineage)] {
        if let Some(check) = check {
            checks[name] = check.into();
        }
    }
    if control == "ok" && disk == "ok" {
        let is_plain = checks.as_object().is_none_or(serde_json::Map::is_empty);
        let ready =
            if is_plain { json!({"status": "ready"}) } else { json!({"status": "ready", "checks": checks}) };
        return Json(ready).into_response();
    }
    checks["control_db"] = control.into();
    checks["disk"] = disk.into();
    let body = json!({"status": "degraded", "checks": checks});
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

/// Bytes that may still be written where the data lies.
fn disk_free_bytes(hub: &Hub) -> Option<u64> {
    let stat = rustix::fs::statvfs(&hub.config.process.data_dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// `GET /metrics`: for the operator, for a scraper on this machine if no other is served, or for all if so configured.
pub(crate) async fn metrics(
    State(hub): State<Arc<Hub>>,
    Extension(backups): Extension<Arc<Backups>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
    page: Option<Extension<AskedByPage>>,
    ip: Option<Extension<ClientIp>>,
) -> Response {
    let ip = ip.map_or_else(ClientIp::default, |Extension(ip)| ip);
    // A proxy need not tell that it is one, nor what was asked of it. A page whose name was rebound to this machine asks
    // from it too, but by that name.
    let local = hub.config.listener.is_private
        && peer.ip().to_canonical().is_loopback()
        && !is_forwarded(&headers)
        && names_this_machine(&uri, &headers);
    let authenticator = &hub.control.authenticator;
    let operates = || {
        authenticator.is_operator(&headers)
            || page.is_some_and(|_| authenticator.operating_user(&headers, ip).is_ok())
    };
    if !(hub.config.process.metrics_public || local || operates()) {
        return (StatusCode::UNAUTHORIZED, "metrics need the operator token: Authorization: Bearer fop_…\n")
            .into_response();
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics_text(&hub, &backups)).into_response()
}

/// All metrics, in Prometheus' text format.
pub(crate) fn metrics_text(hub: &Hub, backups: &Backups) -> String {
    metrics::gauge!("ferry_databases").set(hub.control.database_count() as f64);
    metrics::gauge!("ferry_databases_held").set(hub.databases.held_count() as f64);
    metrics::gauge!("ferry_databases_open").set(hub.databases.files().open_count() as f64);
    if let Some(free) = disk_free_bytes(hub) {
        metrics::gauge!("ferry_disk_free_bytes").set(free as f64);
    }
    shells::set_gauges(hub);
    hub.traces.count_dropped();
    hub.console.set_gauges();
    backups.set_gauges();
    recorder().render() + &process_metrics::render()
}

/// The process's metrics; the first call starts recording.
pub(crate) fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new().set_buckets(BUCKETS_SECONDS).expect("BUG: there are buckets");
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("the program that embeds the hub records metrics itself; /metrics stays empty");
        }
        metric_help::describe(shells::metrics());
        metric_help::start_from_zero();
        metrics::gauge!("ferry_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        handle
    })
}
