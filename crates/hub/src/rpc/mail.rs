//! Mail on the wire: what it proves, what asks for it, and whether it works.

use ferry_control::{
    Access, OperatorAction, RequestPasswordReset, RequestVerification, VerifyEmail, check_email,
};
use ferry_protocol::rpc::ferry::admin::v1 as wire;
use ferry_types::{Error, Reason, Result};
use serde_json::json;

use crate::{mail::ServerRefusal, rpc::Call};

pub(super) async fn request_password_reset(
    call: &Call<'_>,
    request: wire::RequestPasswordResetRequest,
) -> Result<wire::RequestPasswordResetResponse, Error> {
    let asked = RequestPasswordReset { email: &request.email, origin: &call.origin };
    asked.run(&call.control.accounts).await?;
    Ok(wire::RequestPasswordResetResponse::default())
}

pub(super) async fn verify_email(
    call: &Call<'_>,
    request: wire::VerifyEmailRequest,
) -> Result<wire::VerifyEmailResponse, Error> {
    VerifyEmail { code: &request.code, origin: &call.origin }.run(&call.control.accounts).await?;
    Ok(wire::VerifyEmailResponse::default())
}

pub(super) async fn request_verification(
    call: &Call<'_>,
    _request: wire::RequestVerificationRequest,
) -> Result<wire::RequestVerificationResponse, Error> {
    let caller = call.unproven_session(Access::Full)?;
    RequestVerification { caller: &caller, origin: &call.origin }.run(&call.control.accounts).await?;
    Ok(wire::RequestVerificationResponse::default())
}

pub(super) async fn test_mail(
    call: &Call<'_>,
    request: wire::TestMailRequest,
) -> Result<wire::TestMailResponse, Error> {
    let origin = call.operator()?;
    let hub = call.hub.ok_or_else(|| Error::new(Reason::NotYet, "this hub sends no mail"))?;
    let mail = hub.config.mail.as_ref().ok_or_else(|| {
        let message = "this hub sends no mail: set mail.host, mail.from and public_url, and start it again";
        Error::new(Reason::FailedPrecondition, message)
    })?;
    // Before anything is tried, and written down.
    let address = check_email(&request.email)?;
    let tried = mail.mailer.try_out(address, hub.clock.now().0).await;
    let outcome = if tried.is_ok() { "sent" } else { "failed" };
    let detail = json!({ "outcome": outcome });
    OperatorAction { origin: &origin, action: "mail.test", target: address, database: None, detail }
        .run(&call.control.db)
        .await?;
    match tried {
        Ok(trial) => Ok(wire::TestMailResponse {
            server: mail.mailer.server.address(),
            answer: trial.answer,
            encrypted: trial.is_encrypted,
            ..Default::default()
        }),
        Err(ServerRefusal::Never(text, 0)) => {
            Err(Error::new(Reason::InvalidArgument, format!("{address}: {text}")))
        }
        // Another try would not help.
        Err(ServerRefusal::Never(text, _)) => {
            let message = format!("{} refuses the mail: {text}", mail.mailer.server.address());
            Err(Error::new(Reason::FailedPrecondition, message))
        }
        Err(refusal) => Err(Error::new(Reason::Unavailable, format!("the mail was not sent: {refusal}"))),
    }
}
