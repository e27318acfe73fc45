//! The operator's program behind a hub's hooks: keeps what it is sent and answers what the test says.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::serve::{Reply, Request, serve};

type Answer = Box<dyn Fn(&Value) -> Reply + Send>;

/// A program that receives hook calls.
#[derive(Clone)]
pub struct HookReceiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

struct State {
    seen: Vec<Request>,
    answer: Answer,
}

impl HookReceiver {
    /// A receiver that accepts everything.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State { seen: Vec::new(), answer: Box::new(|_| accept()) }));
        let kept = Arc::clone(&state);
        let address = serve(move |request| {
            let body = serde_json::from_str(&request.body).expect("a hook's body is JSON");
            let mut state = kept.lock().unwrap_or_else(PoisonError::into_inner);
            state.seen.push(request.clone());
            (state.answer)(&body)
        });
        Self { address, state }
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// From now on answers so, by the body.
    pub fn answer(&self, answer: impl Fn(&Value) -> Reply + Send + 'static) {
        self.lock().answer = Box::new(answer);
    }

    /// The requests so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        self.lock().seen.clone()
    }

    /// Bodies of the requests of `hook` so far.
    ///
    /// # Panics
    /// If one is no JSON.
    #[must_use]
    pub fn bodies(&self, hook: &str) -> Vec<Value> {
        let bodies =
            self.seen().into_iter().map(|request| serde_json::from_str(&request.body).expect("JSON"));
        bodies.filter(|body: &Value| body["hook"] == hook).collect()
    }

    /// Numbers of all events that `onPushed` was called with, in the order of the calls.
    #[must_use]
    pub fn delivered(&self) -> Vec<i64> {
        let bodies = self.bodies("onPushed");
        bodies
            .iter()
            .flat_map(|body| crate::livestore::numbers(body["events"].as_array().expect("events")))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The verdict that lets everything pass.
#[must_use]
pub fn accept() -> Reply {
    Reply::json(&json!({"verdict": "accept"}))
}

/// The verdict that refuses.
#[must_use]
pub fn reject(message: &str) -> Reply {
    Reply::json(&json!({"verdict": "reject", "message": message}))
}

/// What `Ferry-Signature` must be for this body at `unix`, by code of our own (RFC 2104).
#[must_use]
pub fn signature(secret: &str, unix: i64, body: &str) -> String {
    let mut key = [0_u8; 64];
    key[..secret.len()].copy_from_slice(secret.as_bytes());
    let keyed = |pad: u8, message: &[u8]| {
        let mut digest = Sha256::new();
        digest.update(key.map(|byte| byte ^ pad));
        digest.update(message);
        digest.finalize()
    };
    let inner = keyed(0x36, format!("{unix}.{body}").as_bytes());
    let hex: String = keyed(0x5c, &inner).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={unix},v1={hex}")
}
