//! How callers of functions are refused (functions specification, 2.1; FUN-51).

use axum::response::{IntoResponse as _, Response};
use ferry_control::{BearerFault, FunctionRefusal};
use ferry_types::Error;
use http::{HeaderValue, StatusCode, header};

/// The body of every 401.
const UNAUTHORIZED: &str = "Unauthorized";

/// Why a caller is not let in.
#[derive(Debug)]
pub(in crate::functions) enum EntryRefusal {
    /// No credential, or one that is none. With what is wrong about a bearer.
    Unauthorized(Option<BearerFault>),
    /// Anything else.
    Error(Error),
}

impl From<FunctionRefusal> for EntryRefusal {
    fn from(refusal: FunctionRefusal) -> Self {
        match refusal {
            FunctionRefusal::Key => Self::Unauthorized(None),
            FunctionRefusal::Bearer(fault) => Self::Unauthorized(Some(fault)),
            FunctionRefusal::Other(error) => error.into(),
        }
    }
}

impl From<Error> for EntryRefusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl EntryRefusal {
    /// The answer to a request: 401 as text, everything else as `json` makes it.
    pub(in crate::functions) fn response(self, json: impl FnOnce(Error) -> Response) -> Response {
        let fault = match self {
            Self::Unauthorized(fault) => fault,
            Self::Error(error) => return json(error),
        };
        let mut response = (StatusCode::UNAUTHORIZED, UNAUTHORIZED).into_response();
        if let Some(fault) = fault {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge(fault));
        }
        response
    }

    /// What an `auth` frame is told.
    pub(in crate::functions) fn message(&self) -> &str {
        match self {
            Self::Unauthorized(Some(fault)) => fault.as_str(),
            Self::Unauthorized(None) => UNAUTHORIZED,
            Self::Error(error) => &error.message,
        }
    }
}

/// RFC 6750, section 3.
fn challenge(fault: BearerFault) -> HeaderValue {
    let text = format!(r#"Bearer error="invalid_token", error_description="{}""#, fault.as_str());
    HeaderValue::try_from(text).expect("BUG: descriptions are ASCII without quotes")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: FUN-51
    #[test]
    fn a_bad_bearer_is_told_why_and_a_missing_key_is_not() {
        let json = |_: Error| panic!("these are no JSON");
        let refused = EntryRefusal::Unauthorized(Some(BearerFault::Expired)).response(json);
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(
            refused.headers()[header::WWW_AUTHENTICATE],
            r#"Bearer error="invalid_token", error_description="Token expired""#
        );
        let refused = EntryRefusal::Unauthorized(None).response(json);
        assert!(!refused.headers().contains_key(header::WWW_AUTHENTICATE));
    }
}
