//! A client of a spoke's socket.

use std::{io, path::Path};

use ferry_protocol::ops::{RpcAnswer, RpcFault, RpcRequest, SpokeCall, SpokeErrorCode, rpc_code};
use ferry_types::Code;
use serde_json::value::RawValue;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

use crate::{ClientError, ClientErrorCode, Result};

/// A connection to the daemon.
pub struct SpokeClient {
    stream: BufReader<UnixStream>,
    calls: u64,
}

impl SpokeClient {
    /// Connects to the daemon at `socket`, which `command` starts.
    ///
    /// # Errors
    /// `NO_SPOKE` if no daemon listens there: the message says how to start one.
    pub async fn connect(socket: &Path, command: &str) -> Result<Self> {
        let stream = UnixStream::connect(socket).await.map_err(|error| {
            let shown = socket.display();
            let message = match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
                    "no spoke runs at {shown}: start one with: {command} (with --hub-url URL to sync), or name \
                     another one's socket with --socket"
                ),
                _ => format!("the spoke at {shown} cannot be reached: {error}"),
            };
            ClientError::new(ClientErrorCode::Unreachable, "NO_SPOKE", message)
        })?;
        Ok(Self { stream: BufReader::new(stream), calls: 0 })
    }

    /// Does a call; gives its result as JSON.
    ///
    /// # Errors
    /// The daemon's refusal; that the connection broke.
    pub async fn call(&mut self, call: &SpokeCall) -> Result<Box<RawValue>> {
        self.calls += 1;
        let mut line = RpcRequest::line(self.calls, call);
        line.push('\n');
        let broke = |error: io::Error| {
            ClientError::new(
                ClientErrorCode::Unreachable,
                "NO_SPOKE",
                format!("the spoke went away: {error}"),
            )
        };
        self.stream.get_mut().write_all(line.as_bytes()).await.map_err(broke)?;
        loop {
            let mut answer = Vec::new();
            if self.stream.read_until(b'\n', &mut answer).await.map_err(broke)? == 0 {
                return Err(broke(io::ErrorKind::UnexpectedEof.into()));
            }
            let answer: RpcAnswer = serde_json::from_slice(&answer).map_err(|error| {
                ClientError::unverified(format!("the spoke's answer cannot be read: {error}"))
            })?;
            match answer {
                RpcAnswer { error: Some(fault), id, .. } if id.is_none_or(|id| id == self.calls) => {
                    return Err(refusal(fault));
                }
                RpcAnswer { id: Some(id), result: Some(result), .. } if id == self.calls => {
                    return Ok(result);
                }
                // Of a call that was given up.
                _ => {}
            }
        }
    }
}

/// A refusal of the daemon's, in the words of all clients.
fn refusal(fault: RpcFault) -> ClientError {
    let (code, reason) = fault.data.map_or((None, None), |data| (Some(data.code), data.reason));
    let family = match (fault.code, code) {
        _ if reason.as_deref() == Some("unauthenticated") => ClientErrorCode::Table(Code::Unauthenticated),
        _ if reason.as_deref() == Some("permission_denied") => ClientErrorCode::Table(Code::PermissionDenied),
        _ if reason.as_deref() == Some("hub_foreign") => ClientErrorCode::Table(Code::FailedPrecondition),
        (_, Some(SpokeErrorCode::NotFound)) => ClientErrorCode::Table(Code::NotFound),
        (_, Some(SpokeErrorCode::EntityDeleted | SpokeErrorCode::ConflictClosed | SpokeErrorCode::NoHub)) => {
            ClientErrorCode::Table(Code::FailedPrecondition)
        }
        (_, Some(SpokeErrorCode::HubUnreachable | SpokeErrorCode::Timeout)) => ClientErrorCode::Unreachable,
        (_, Some(SpokeErrorCode::Invalid)) | (rpc_code::INVALID_PARAMS, None) => {
            ClientErrorCode::Table(Code::InvalidArgument)
        }
        _ => ClientErrorCode::Failed,
    };
    let reason = reason.or_else(|| code.map(|code| code.as_str().to_owned()));
    let reason = reason.unwrap_or_else(|| "failed".to_owned()).to_ascii_uppercase();
    ClientError::new(family, &reason, fault.message)
}
