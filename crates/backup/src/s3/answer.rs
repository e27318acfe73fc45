//! What S3 answered, and what a refusal means, in words that say what to do.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::Error;

/// Clocks that differ by more are told of.
const SKEW_SECONDS: i64 = 60;

/// An answer.
#[derive(Debug)]
pub(super) struct S3Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether an earlier try may have done what was asked.
    pub(super) is_repeated: bool,
}

impl S3Answer {
    pub(super) fn of(response: Response<Bytes>) -> Self {
        let (head, body) = response.into_parts();
        Self { status: head.status, headers: head.headers, body, is_repeated: false }
    }

    /// The same, if an earlier try may have done what was asked.
    pub(super) fn repeated(self, is_repeated: bool) -> Self {
        Self { is_repeated, ..self }
    }

    pub(super) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// When it was given, by the clock of who answers.
    pub(super) fn date(&self) -> Option<i64> {
        let text = self.header(header::DATE)?;
        Some(jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_second())
    }

    /// S3's word for why it refuses.
    pub(super) fn code(&self) -> &str {
        self.element("Code").unwrap_or_default()
    }

    /// What stands in an element of a refusal, which has no two of a name.
    fn element(&self, name: &str) -> Option<&str> {
        let text = std::str::from_utf8(&self.body).ok()?;
        let (_, after) = text.split_once(&format!("<{name}>"))?;
        Some(after.split_once(&format!("</{name}>"))?.0)
    }

    /// Whether another try may be answered otherwise.
    pub(super) fn is_passing(&self) -> bool {
        match self.status {
            StatusCode::NOT_IMPLEMENTED
            | StatusCode::HTTP_VERSION_NOT_SUPPORTED
            | StatusCode::INSUFFICIENT_STORAGE => false,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => true,
            StatusCode::BAD_REQUEST => matches!(self.code(), "RequestTimeout" | "BadDigest"),
            StatusCode::CONFLICT => matches!(self.code(), "ConditionalRequestConflict" | "OperationAborted"),
            status => status.is_server_error(),
        }
    }

    /// Whether S3 says that there is no such object; a page of somebody in between says nothing.
    pub(super) fn is_missing(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && self.code() == "NoSuchKey"
    }

    /// Whether it does not know what was asked of it.
    pub(super) fn is_unknown(&self) -> bool {
        self.status == StatusCode::NOT_IMPLEMENTED || self.code() == "NotImplemented"
    }

    /// The error for an answer that is none of those that were expected; `doing` what failed, of `target`.
    pub(super) fn refusal(&self, doing: &str, target: &str) -> Error {
        let (status, code) = (self.status, self.code());
        if let Some(region) = self.other_region() {
            return Error::Refused(format!(
                "{target} lies in another region: set backup.s3_region = \"{region}\""
            ));
        }
        if self.is_passing() {
            return Error::Unreachable(format!(
                "cannot {doing} {target}: it answers {} for too long",
                self.words()
            ));
        }
        let what = match (status, code) {
            (StatusCode::NOT_FOUND, "NoSuchBucket") => {
                "there is no such bucket: make it, or name another one in backup.target".to_owned()
            }
            (_, "InvalidAccessKeyId") => {
                "it does not know the key: look at backup.s3_access_key_id (AWS_ACCESS_KEY_ID)".to_owned()
            }
            (_, "SignatureDoesNotMatch") => {
                "the key is not the one of this name: look at backup.s3_secret_access_key (AWS_SECRET_ACCESS_KEY)"
                    .to_owned()
            }
            (_, "ExpiredToken" | "InvalidToken") => {
                "the keys have ended: set new ones, with their session token".to_owned()
            }
            _ => match self.skew() {
                Some(seconds) if status.is_client_error() => {
                    let way = if seconds > 0 { "behind" } else { "ahead" };
                    format!(
                        "it answers {}; the clock of this machine is {} s {way} of its: set it, signatures carry the time",
                        self.words(),
                        seconds.abs()
                    )
                }
                _ if status == StatusCode::FORBIDDEN && !code.is_empty() => format!(
                    "it answers {}: the key needs the rights to list the bucket, and to get, put and delete objects below the prefix",
                    self.words()
                ),
                _ if code.is_empty() => format!(
                    "it answers {status}, and not as S3 does: is backup.s3_endpoint right, or is there a proxy in between?"
                ),
                _ => format!("it answers {}", self.words()),
            },
        };
        Error::Refused(format!("cannot {doing} {target}: {what}"))
    }

    /// Status, word and message.
    fn words(&self) -> String {
        let mut words = self.status.as_u16().to_string();
        for more in [self.code(), self.element("Message").unwrap_or_default()] {
            if !more.is_empty() {
                words.push(' ');
                words.extend(more.chars().filter(|character| !character.is_control()).take(200));
            }
        }
        words
    }

    /// Where the bucket is, if that is not where it was looked for.
    fn other_region(&self) -> Option<&str> {
        let is_elsewhere = self.status.is_redirection()
            || matches!(self.code(), "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError")
            || self.code() == "IllegalLocationConstraintException";
        let named = self.element("Region").or_else(|| self.header("x-amz-bucket-region"));
        named.filter(|_| is_elsewhere)
    }

    /// Seconds by which the other clock is ahead of this machine's, if they differ by much.
    fn skew(&self) -> Option<i64> {
        let ahead = self.date()? - now();
        (ahead.abs() > SKEW_SECONDS).then_some(ahead)
    }
}

/// Unix seconds of this machine's clock.
pub(super) fn now() -> i64 {
    clock_gettime(ClockId::Realtime).tv_sec
}

/// A moment as lists have it, in Unix seconds.
pub(super) fn moment(text: &str) -> Option<i64> {
    text.parse::<Timestamp>().ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> S3Answer {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        S3Answer::of(response.body(Bytes::copy_from_slice(body.as_bytes())).unwrap())
    }

    fn xml(code: &str) -> String {
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>Told\nso</Message></Error>")
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let region = "<Error><Code>PermanentRedirect</Code><Region>eu-north-1</Region></Error>".to_owned();
        for (status, headers, body, told) in [
            (404, &[][..], xml("NoSuchBucket"), "make it"),
            (403, &[], xml("InvalidAccessKeyId"), "AWS_ACCESS_KEY_ID"),
            (403, &[], xml("SignatureDoesNotMatch"), "AWS_SECRET_ACCESS_KEY"),
            (403, &[], xml("AccessDenied"), "403 AccessDenied Toldso: the key needs the rights"),
            (403, &[("date", "Mon, 30 Nov 2009 08:43:35 GMT")], xml("AccessDenied"), "ahead of its"),
            (403, &[("date", "Mon, 30 Nov 2099 08:43:35 GMT")], xml("AccessDenied"), "behind of its"),
            (301, &[], region, "backup.s3_region = \"eu-north-1\""),
            (301, &[("x-amz-bucket-region", "eu-west-3")], String::new(), "backup.s3_region = \"eu-west-3\""),
            (400, &[("x-amz-bucket-region", "eu-west-3")], xml("AuthorizationHeaderMalformed"), "eu-west-3"),
            (404, &[], "<html>not here</html>".to_owned(), "is there a proxy"),
            (507, &[], xml("XMinioStorageFull"), "XMinioStorageFull"),
        ] {
            let error = answer(status, headers, &body).refusal("write to", "s3://b/x");
            assert!(matches!(error, Error::Refused(_)), "{status} {body}");
            assert!(error.to_string().contains(told), "{status} {body}: {error}");
        }
        let busy = answer(503, &[], &xml("SlowDown")).refusal("read", "s3://b/x");
        assert!(matches!(busy, Error::Unreachable(_)), "{busy}");
    }

    #[test]
    fn only_s3_says_that_an_object_is_missing() {
        assert!(answer(404, &[], &xml("NoSuchKey")).is_missing());
        for body in ["", "<html><title>404</title></html>", &xml("NoSuchBucket")] {
            assert!(!answer(404, &[], body).is_missing(), "{body}");
        }
    }

    #[test]
    fn what_passes_is_tried_again() {
        for (status, code) in
            [(500, ""), (503, "SlowDown"), (429, ""), (400, "RequestTimeout"), (409, "OperationAborted")]
        {
            assert!(answer(status, &[], &xml(code)).is_passing(), "{status} {code}");
        }
        for (status, code) in
            [(501, ""), (403, "AccessDenied"), (412, ""), (400, "InvalidArgument"), (507, "")]
        {
            assert!(!answer(status, &[], &xml(code)).is_passing(), "{status} {code}");
        }
    }
}
