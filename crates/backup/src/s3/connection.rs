//! Exchanges with S3: signed, bounded in time, and repeated when the other side is busy or the connection broke.

use std::{borrow::Cow, time::Duration};

use bytes::Bytes;
use ferry_http_client::{Bounds, HttpClient, HttpClientError, Reach};
use http::Request;
use rusty_s3::{Bucket, Credentials, S3Action};
use tokio::{runtime::Handle, time::sleep};
use tokio_util::sync::CancellationToken;

use super::answer::S3Answer;
use crate::{Error, Result};

/// How often something is tried.
const TRIES: u32 = 6;
/// What is waited after the first try; twice as long after each further one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// For a connection, and for the answer to begin.
const ANSWER_TIME: Duration = Duration::from_secs(30);
/// What is sent or answered has time at this rate: slower ones are given up.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 << 10;
/// So long a signature is taken: longer than the clocks of two machines may differ.
const SIGNED_FOR: Duration = Duration::from_secs(900);
/// What refuses is short.
const REFUSAL_MAX_BYTES: usize = 64 << 10;

/// What is asked.
#[derive(Clone, Debug, Default)]
pub(super) struct S3Ask {
    /// Headers that are signed, names in lower case.
    pub(super) signed: Vec<(&'static str, String)>,
    /// Headers that are not.
    pub(super) plain: Vec<(&'static str, String)>,
    /// Parameters of the query.
    pub(super) query: Vec<(&'static str, String)>,
    /// Sent.
    pub(super) body: Bytes,
    /// Most bytes that are wanted.
    pub(super) max_bytes: usize,
}

/// The way to a bucket.
pub(super) struct BucketConnection {
    bucket: Bucket,
    credentials: Credentials,
    http: HttpClient,
    runtime: Handle,
    stopping: CancellationToken,
}

impl BucketConnection {
    /// On the runtime of this thread.
    pub(super) fn new((bucket, credentials): (Bucket, Credentials), stopping: CancellationToken) -> Self {
        Self { bucket, credentials, http: HttpClient::default(), runtime: Handle::current(), stopping }
    }

    pub(super) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) const fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    pub(super) const fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Asks until there is an answer that stands, or it was tried often enough. `action` makes what is signed.
    pub(super) fn ask<'a, A: S3Action<'a>>(&self, action: impl Fn() -> A, ask: &S3Ask) -> Result<S3Answer> {
        self.runtime.block_on(self.ask_patiently(action, ask))
    }

    async fn ask_patiently<'a, A: S3Action<'a>>(
        &self,
        action: impl Fn() -> A,
        ask: &S3Ask,
    ) -> Result<S3Answer> {
        let mut wait = FIRST_WAIT;
        let mut is_repeated = false;
        for _ in 1..TRIES {
            let asked = tokio::select! {
                asked = self.ask_once(action(), ask) => asked,
                () = self.stopping.cancelled() => return Err(Error::Cancelled),
            };
            match asked {
                Ok(answer) if !answer.is_passing() => return Ok(answer.repeated(is_repeated)),
                // No patience mends an answer that no S3 gives.
                Err(HttpClientError::TooLarge(_) | HttpClientError::Forbidden) => break,
                Ok(_) | Err(HttpClientError::Broken(_) | HttpClientError::TimedOut(_)) => {}
            }
            is_repeated = true;
            tokio::select! {
                () = sleep(wait) => wait *= 2,
                () = self.stopping.cancelled() => return Err(Error::Cancelled),
            }
        }
        let asked = tokio::select! {
            asked = self.ask_once(action(), ask) => asked,
            () = self.stopping.cancelled() => return Err(Error::Cancelled),
        };
        asked.map(|answer| answer.repeated(is_repeated)).map_err(|error| self.unreachable(&error))
    }

    /// Asks once.
    pub(super) async fn ask_once<'a, A: S3Action<'a>>(
        &self,
        mut action: A,
        ask: &S3Ask,
    ) -> Result<S3Answer, HttpClientError> {
        for (name, value) in &ask.query {
            action.query_mut().insert(*name, Cow::Owned(value.clone()));
        }
        for (name, value) in &ask.signed {
            action.headers_mut().insert(*name, Cow::Owned(value.clone()));
        }
        let url = action.sign(SIGNED_FOR);
        let mut request = Request::builder().method(A::METHOD.to_str()).uri(url.as_str());
        for (name, value) in ask.signed.iter().chain(&ask.plain) {
            request = request.header(*name, value);
        }
        let request =
            request.body(ask.body.clone()).map_err(|error| HttpClientError::Broken(error.to_string()))?;
        let bytes = ask.body.len().max(ask.max_bytes) as u64;
        let timeout = ANSWER_TIME + Duration::from_secs(bytes / SLOWEST_BYTES_PER_SECOND);
        let bounds = Bounds { timeout, max_bytes: ask.max_bytes.max(REFUSAL_MAX_BYTES) };
        self.http.send(request, Reach::Anywhere, bounds).await.map(S3Answer::of)
    }

    fn unreachable(&self, error: &HttpClientError) -> Error {
        let base = self.bucket.base_url();
        let place = base.host_str().unwrap_or_default();
        let port = base.port().map(|port| format!(":{port}")).unwrap_or_default();
        match error {
            HttpClientError::TooLarge(_) => Error::Refused(format!(
                "{place}{port} answers more than was asked for: is backup.s3_endpoint right, or is there a proxy in between?"
            )),
            other => Error::Unreachable(format!("{place}{port} cannot be reached: {other}")),
        }
    }
}
