//! The admin RPCs on the wire: Connect, gRPC and gRPC-Web, JSON and binary. The two services are thin
//! adapters over the same functions; here is what they share, and the one place where a refusal becomes a
//! Connect error.

mod api_keys;
mod backups;
mod connections;
mod console;
mod edgereplica;
mod ferry;
mod framing;
mod jwt;
mod mail;
mod messages;
mod oauth;
mod operator;
mod orgs;
mod passwords;
mod reserved;
mod sessions;
#[cfg(test)]
mod tests;
mod tokens;

use std::{sync::Arc, time::Duration};

use connectrpc::{
    ConnectError, ConnectRpcService, ErrorCode, Limits, RequestContext, Router,
    deadline::DeadlinePolicy,
    error::ErrorDetail,
    interceptor::{Interceptor, Next, UnaryRequest, UnaryResponse},
};
use ferry_control::{Access, Caller, ClientIp, Control, Origin};
use ferry_protocol::rpc::ferry::admin::v1::ErrorInfo;
use ferry_types::{Code, Error, Result, limits::RPC_MAX_MS};
use http::{HeaderMap, header};

pub(crate) use framing::serve;

use crate::{
    backup::Backups,
    entry::AskedByPage,
    http::{HttpRequestId, whole_seconds},
    hub::Hub,
};

/// Both admin services over one control plane, as a tower service for the paths
/// `/edgereplica.admin.v1.AdminService/*` and `/ferry.admin.v1.AdminService/*`; with the largest body that it takes.
pub(crate) fn rpc_service(
    control: &Arc<Control>,
    backups: Option<&Arc<Backups>>,
    hub: Option<&Arc<Hub>>,
    body_max_bytes: usize,
) -> ConnectRpcService {
    let ferry = crate::rpc::ferry::FerryService {
        control: Arc::clone(control),
        backups: backups.cloned(),
        hub: hub.cloned(),
    };
    let router = Router::new()
        .add_service::<_, _>(Arc::new(crate::rpc::edgereplica::EdgeReplicaService(Arc::clone(control))))
        .add_service::<_, _>(Arc::new(ferry));
    let limits =
        Limits::default().with_max_request_body_size(body_max_bytes).with_max_message_size(body_max_bytes);
    let longest = Duration::from_millis(RPC_MAX_MS);
    let deadlines = DeadlinePolicy::new().with_max(longest).with_default_timeout(longest);
    ConnectRpcService::new(router)
        .with_limits(limits)
        .with_deadline_policy(deadlines)
        .with_interceptor(Measure)
}

/// One call: its control plane and where it came from.
pub(super) struct Call<'a> {
    pub(super) control: &'a Arc<Control>,
    pub(super) backups: Option<&'a Arc<Backups>>,
    pub(super) hub: Option<&'a Arc<Hub>>,
    pub(super) origin: Origin,
    context: &'a RequestContext,
}

impl<'a> Call<'a> {
    pub(super) fn new(control: &'a Arc<Control>, context: &'a RequestContext) -> Self {
        let extensions = context.extensions();
        let request_id = extensions.get::<HttpRequestId>().map(|id| id.0.clone()).unwrap_or_default();
        let ip = extensions.get::<ClientIp>().copied().unwrap_or_default();
        let page = extensions.get::<AskedByPage>();
        let session_max_seconds = page.map(|page| page.session_max_seconds);
        let origin = Origin { session_max_seconds, ..Origin::new(request_id, ip) };
        Self { control, backups: None, hub: None, origin, context }
    }

    /// Whether the dashboard asks, by its own door.
    pub(super) fn is_of_page(&self) -> bool {
        self.context.extensions().get::<AskedByPage>().is_some()
    }

    /// The session that the call carries.
    pub(super) fn caller(&self, access: Access) -> Result<Caller, ConnectError> {
        self.session(access).map_err(|error| self.refuse(&error))
    }

    /// The same, whose refusal is not yet an error of the wire.
    pub(super) fn session(&self, access: Access) -> Result<Caller, Error> {
        self.control.authenticator.session(self.context.headers(), self.origin.ip, access)
    }

    /// The session that the call carries, also of an account whose address is to be proven first: for what such a one may do.
    pub(super) fn unproven_session(&self, access: Access) -> Result<Caller, Error> {
        self.control.authenticator.unproven_session(self.context.headers(), self.origin.ip, access)
    }

    /// The same, whose refusal is an error of the wire.
    pub(super) fn unproven_caller(&self, access: Access) -> Result<Caller, ConnectError> {
        self.unproven_session(access).map_err(|error| self.refuse(&error))
    }

    /// Whether an operator calls.
    pub(super) fn operates(&self) -> bool {
        let (authenticator, headers) = (&self.control.authenticator, self.context.headers());
        let by_session =
            || self.is_of_page() && authenticator.operating_user(headers, self.origin.ip).is_ok();
        authenticator.is_operator(headers) || by_session()
    }

    /// Where the call of an operator comes from: of whoever holds the operator token, or of a user who may operate the hub and is
    /// signed in to the dashboard (OPR-51). Others are refused.
    pub(super) fn operator(&self) -> Result<Origin, Error> {
        let (authenticator, headers) = (&self.control.authenticator, self.context.headers());
        if self.is_of_page() {
            let user = authenticator.operating_user(headers, self.origin.ip)?;
            return Ok(Origin { operator: Some(user), ..self.origin.clone() });
        }
        authenticator.operator(headers, &self.origin)?;
        Ok(self.origin.clone())
    }

    /// The refusal as the wire carries it.
    pub(super) fn refuse(&self, error: &Error) -> ConnectError {
        let info = ErrorInfo {
            reason: error.reason.as_str().to_owned(),
            retry_after_ms: error.retry_after_ms.unwrap_or(0),
            request_id: self.origin.request_id.clone(),
            ..Default::default()
        };
        let refusal = ConnectError::new(code(error.code()), error.message.clone())
            .with_detail(ErrorDetail::from_message("ferry.admin.v1.ErrorInfo", &info));
        match error.retry_after_ms {
            None => refusal,
            Some(ms) => {
                refusal.with_headers(HeaderMap::from_iter([(header::RETRY_AFTER, whole_seconds(ms))]))
            }
        }
    }
}

/// Ferry's families are Connect's.
const fn code(code: Code) -> ErrorCode {
    match code {
        Code::InvalidArgument => ErrorCode::InvalidArgument,
        Code::FailedPrecondition => ErrorCode::FailedPrecondition,
        Code::Unauthenticated => ErrorCode::Unauthenticated,
        Code::PermissionDenied => ErrorCode::PermissionDenied,
        Code::NotFound => ErrorCode::NotFound,
        Code::AlreadyExists => ErrorCode::AlreadyExists,
        Code::Aborted => ErrorCode::Aborted,
        Code::ResourceExhausted => ErrorCode::ResourceExhausted,
        Code::Internal => ErrorCode::Internal,
        Code::Unimplemented => ErrorCode::Unimplemented,
        Code::Unavailable => ErrorCode::Unavailable,
        Code::DeadlineExceeded => ErrorCode::DeadlineExceeded,
    }
}

/// Times every RPC.
struct Measure;

#[connectrpc::async_trait]
impl Interceptor for Measure {
    async fn intercept_unary(
        &self,
        request: UnaryRequest,
        next: Next<'_>,
    ) -> Result<UnaryResponse, ConnectError> {
        // Only registered methods come here, so the labels are a closed set.
        let method = request.ctx.spec().map_or("unknown", |spec| spec.method());
        ferry_trace::note("rpc.method", || method.to_owned());
        let started = tokio::time::Instant::now();
        let answer = next.run(request).await;
        let code = answer.as_ref().map_or_else(|error| error.code.as_str(), |_| "ok");
        metrics::histogram!("ferry_rpc_duration_seconds", "method" => method, "code" => code)
            .record(started.elapsed().as_secs_f64());
        ferry_trace::note("rpc.connect_rpc.error_code", || code);
        answer
    }
}
