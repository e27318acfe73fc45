//! `ferry health`: whether a hub takes requests, for scripts and containers.

use std::net::SocketAddr;

use ferry_client::{ServerUrl, status::StatusClient};

use crate::{
    context::{Context, Global},
    failure::Failure,
    output,
    system::variable,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 it is ready, 7 it is not, or nobody answers.\n\nExamples:\n  \
    ferry health                          the hub of this machine, or that of FERRY_SERVER\n  \
    ferry health https://hub.example")]
pub(crate) struct Args {
    /// URL of the hub [default: --server, FERRY_SERVER or the profile's; else the address in FERRY_LISTEN]
    url: Option<ServerUrl>,
}

pub(crate) async fn run(global: Global, args: Args) -> Result<(), Failure> {
    let context = Context::new(global)?;
    let server = match args.url {
        Some(url) => url,
        None if context.is_server_given => context.server.clone(),
        None => listened_at().unwrap_or_else(|| context.server.clone()),
    };
    StatusClient::new(&server).ready().await?;
    if context.json {
        return output::json(&serde_json::json!({ "status": "ready", "server": server.to_string() }));
    }
    output::row(&["ready", &server.to_string()])
}

/// Where the settings of this machine have a hub listen. Who listens everywhere answers on loopback.
fn listened_at() -> Option<ServerUrl> {
    let mut address: SocketAddr = variable("FERRY_LISTEN")?.parse().ok()?;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let scheme = if variable("FERRY_TLS_CERT").is_some() { "https" } else { "http" };
    format!("{scheme}://{address}").parse().ok()
}
