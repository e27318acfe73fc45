//! A connection that was let in only to be told, in words that the app sees, that it is refused (EVT-52).

use std::{sync::Arc, time::Duration};

use ferry_core::events::{Connection, Following, Log, Output, Position, Rights};
use ferry_protocol::events::{RpcError, Transport, close};
use tokio::time::timeout;

use super::{
    metric, now_ms,
    wire::{Wire, WireEvent},
};
use crate::{http::BoundedSocket, hub::Hub};

/// Who says nothing for so long is not waited for: clients ping every 10 s.
const SILENCE_MAX: Duration = Duration::from_secs(90);

/// No store at all.
struct Nowhere;

impl Log for Nowhere {
    fn store_id(&self) -> &'static str {
        ""
    }

    fn position(&self) -> Position {
        Position { head: 0, backend_id: "".into() }
    }

    fn following(&self, _: i64, _: Option<i64>) -> Following {
        Following::Nothing
    }
}

/// Fails every call with `error`, until the peer goes or the hub stops.
pub(super) async fn run(hub: Arc<Hub>, error: RpcError, socket: BoundedSocket) {
    let rights = Rights { read: Err(error.clone()), write: Err(error) };
    let mut machine = Connection::new(Transport::Ws, rights, hub.config.events.limits, now_ms());
    let mut wire = Wire::new(socket);
    loop {
        let event = tokio::select! {
            event = timeout(SILENCE_MAX, wire.next()) => event.unwrap_or(WireEvent::Gone),
            () = hub.stopping.cancelled() => return wire.finish(close::RESTARTING, true).await,
        };
        match event {
            WireEvent::Text(text) => machine.receive(&text, &Nowhere, now_ms()),
            WireEvent::Binary(_) => machine.reject("expected text"),
            WireEvent::Alive | WireEvent::Drained => {}
            WireEvent::Broken(close) => return wire.finish(close, true).await,
            WireEvent::Stalled => return wire.finish(close::TOO_SLOW, false).await,
            WireEvent::Gone => return,
        }
        while let Some(output) = machine.next_output() {
            match output {
                Output::Send(frame) | Output::Chunk(frame) => wire.send(frame),
                Output::Pushed(id, result) => metric::pushed(&id, result, Transport::Ws),
                Output::Pulled { live, result } => metric::pulled(live, result),
                Output::Close(close) => return wire.finish(close, true).await,
                Output::Append(_)
                | Output::Read(_)
                | Output::MayPull { .. }
                | Output::Failed(_)
                | Output::Ahead(_)
                | Output::Refused(..) => {}
            }
        }
    }
}
