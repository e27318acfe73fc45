//! `ferry spoke --mode server`: the store is a hub itself, and apps find it at the same socket (OPS-60).

use std::{
    ffi::OsString,
    net::{SocketAddr, ToSocketAddrs as _},
    sync::Arc,
};

use ferry_auth::api_key::{KeyKind, check_import};
use ferry_client::spoke::{CallFuture, CallOutcome, ServedStore, SpokeCalls, call_result};
use ferry_hub::{
    clock::SystemClock,
    config::{Config, ConfigError, StoreAccess},
    ops::{LocalOps, LocalWrite},
    server::Server,
};
use ferry_protocol::ops::{Health, RpcFault, SpokeCall, SpokeErrorCode, SyncStatus, rpc_code};
use ferry_types::OriginId;
use tokio_util::sync::CancellationToken;

use super::{Args, default_socket, default_store, random};
use crate::{
    failure::Failure,
    output,
    system::{self, variable},
};

/// Where it listens unless told otherwise: where a hub does.
const HTTP_ADDR: &str = "127.0.0.1:8787";

const MODE: &str = "server";

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    if args.hub_url.is_some() {
        return Err(Failure::Usage(
            "--hub-url: mode server is a hub itself, and syncs with no other; leave one of the two out"
                .to_owned(),
        ));
    }
    let wrong = |error: ConfigError| Failure::Configuration(error.to_string());
    let listen = address(args.http_addr.as_deref().unwrap_or(HTTP_ADDR))?;
    let access = args.access()?;
    let store = args.store.map_or_else(default_store, Ok)?;
    let socket = args.socket.unwrap_or_else(|| default_socket(&store));
    let texts =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    let environment = std::env::vars_os().filter_map(texts).collect();
    let config = Config::of_store(&store, listen, access, &environment).map_err(wrong)?;
    let served = ServedStore::open(&store, &socket, Arc::new(SystemClock), random()?)?;
    let server = Server::open(config, Arc::new(SystemClock)).await.map_err(wrong)?;
    let local = LocalOps::new(server.hub()).map_err(|error| Failure::other(error.to_string()))?;
    let address = server.address().map_err(|error| Failure::other(format!("the hub's socket: {error}")))?;
    let _ = output::line(format_args!("spoke listens on {}", socket.display()));
    let _ = output::line(format_args!("ops in {}; it is the hub at http://{address}", store.display()));
    let (shutdown, stop) = (CancellationToken::new(), system::interrupted());
    let asked = shutdown.clone();
    let stopped = async move {
        stop.await;
        asked.cancel();
        std::future::pending::<()>().await;
    };
    let calls = Arc::new(LocalCalls { local, origin: served.origin() });
    tokio::select! {
        done = server.run(shutdown) => done.map_err(|lost| Failure::other(lost.to_string())),
        never = served.serve(calls) => match never {},
        () = stopped => Ok(()),
    }
}

impl Args {
    /// Who may reach the hub.
    fn access(&self) -> Result<StoreAccess, Failure> {
        let token = match &self.token_file {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
                Failure::Configuration(format!("--token-file {}: {error}", path.display()))
            })?),
            None => variable("FERRY_SYNC_TOKEN"),
        };
        let Some(token) = token.map(|token| token.trim().to_owned()) else {
            return Ok(StoreAccess::ThisMachine);
        };
        check_import(KeyKind::Secret, &token).map_err(|_| {
            Failure::Configuration(
                "the token that others must show has 8 to 256 printable ASCII characters without spaces, and does not \
                 begin with fop_; openssl rand -hex 16 makes one"
                    .to_owned(),
            )
        })?;
        Ok(StoreAccess::Token(token))
    }
}

fn address(text: &str) -> Result<SocketAddr, Failure> {
    let wrong = || {
        Failure::Configuration(format!(
            "--http-addr {text}: expected an address and a port, such as {HTTP_ADDR} or 0.0.0.0:8790"
        ))
    };
    text.to_socket_addrs().map_err(|_| wrong())?.next().ok_or_else(wrong)
}

/// The calls of the socket, over the hub of this process.
struct LocalCalls {
    local: LocalOps,
    origin: OriginId,
}

impl SpokeCalls for LocalCalls {
    fn call(&self, call: SpokeCall) -> CallFuture<'_> {
        Box::pin(async move {
            match call {
                SpokeCall::Health => call_result(&Health {
                    ok: true,
                    version: env!("CARGO_PKG_VERSION").to_owned(),
                    mode: MODE.to_owned(),
                    origin: self.origin.to_string(),
                    pid: std::process::id(),
                }),
                SpokeCall::SyncNow(_) => {
                    let message = "this spoke is a hub itself: others sync with it";
                    Err(RpcFault::refused(SpokeErrorCode::NoHub, message))
                }
                SpokeCall::SyncStatus => self.status().await,
                SpokeCall::OpAppend(params) => written(self.local.append(params).await.map_err(fault)?),
                SpokeCall::ConflictsResolve(params) => {
                    written(self.local.resolve(params).await.map_err(fault)?)
                }
                SpokeCall::EntityGet(params) => {
                    let name = params.entity.clone();
                    let view = self.local.entity(params.entity).await.map_err(fault)?;
                    let none = || format!("there is no such entity: {name}");
                    call_result(&view.ok_or_else(|| RpcFault::refused(SpokeErrorCode::NotFound, none()))?)
                }
                SpokeCall::EntityList(params) => {
                    call_result(&self.local.entities(params).await.map_err(fault)?)
                }
                SpokeCall::ConflictsList(params) => {
                    call_result(&self.local.conflicts(params).await.map_err(fault)?)
                }
            }
        })
    }
}

impl LocalCalls {
    async fn status(&self) -> CallOutcome {
        let state = self.local.state().await.map_err(fault)?;
        call_result(&SyncStatus {
            mode: MODE.to_owned(),
            hub_id: Some(state.hub_id),
            epoch: Some(state.epoch),
            cursor: state.head.0,
            conflicts: state.conflicts,
            ..SyncStatus::default()
        })
    }
}

fn written(outcome: LocalWrite) -> CallOutcome {
    let written = outcome.map_err(|refusal| RpcFault::refused(refusal.code, refusal.message))?;
    call_result(&written)
}

/// What a caller learns of a failure of the store.
fn fault(error: ferry_types::Error) -> RpcFault {
    RpcFault::new(rpc_code::INTERNAL_ERROR, error.message)
}
