//! A hub that does not answer: why, and what helps.

use std::{error::Error, io};

use rustls::CertificateError;

use crate::{ClientError, ClientErrorCode, ServerUrl, tls};

/// No hub answered at `server`, because of `cause`.
pub(crate) fn unreachable(server: &ServerUrl, cause: &str) -> ClientError {
    let advice = if server.is_loopback() {
        "start one with: ferry serve; or name another with --server"
    } else {
        "check the address, or name another with --server"
    };
    failed("UNREACHABLE", format!("no hub answers at {server}: {cause}; {advice}"))
}

/// Why no answer came from `server`, without advice for who runs a command.
pub(crate) fn told(server: &ServerUrl, error: &(dyn Error + 'static)) -> String {
    let explained = explained(server, error);
    if explained.reason == "UNREACHABLE" {
        return format!("no hub answers at {server}: {}", deepest(error));
    }
    explained.message
}

/// What lies at the bottom of an error.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = deeper(cause) {
        cause = deeper;
    }
    cause.to_string()
}

/// What an error was made of.
fn deeper<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    // An I/O error's source leaves out what it was made of.
    let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| cause.source())
}

/// A connection to `server` could not be made or was of no use. Something may well answer there: then it says what.
pub(crate) fn explained(server: &ServerUrl, error: &(dyn Error + 'static)) -> ClientError {
    let mut cause = error;
    loop {
        if let Some(failure) = of_cause(server, cause) {
            return failure;
        }
        match deeper(cause) {
            Some(inner) => cause = inner,
            None => return unreachable(server, &cause.to_string()),
        }
    }
}

fn of_cause(server: &ServerUrl, cause: &(dyn Error + 'static)) -> Option<ClientError> {
    let errno = cause.downcast_ref::<io::Error>().and_then(rustix::io::Errno::from_io_error);
    if matches!(errno, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)) {
        let message = format!(
            "cannot connect to {server}: too many files are open on this machine or in this process: close some, or raise \
             the limit (ulimit -n)"
        );
        return Some(failed("TOO_MANY_OPEN_FILES", message));
    }
    match cause.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(why)) => return Some(untrusted(server, why)),
        Some(rustls::Error::InvalidMessage(_)) => {
            let plain = server.with_other_scheme();
            return Some(failed(
                "NOT_TLS",
                format!(
                    "what answers at {server} does not speak TLS; a hub without a certificate is named {plain}"
                ),
            ));
        }
        _ => {}
    }
    // What a TLS server answers to a plain request is no HTTP: an alert, or nothing.
    let is_no_http = cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
    is_no_http.then(|| no_http(server))
}

/// Something answered a plain request with what is no HTTP.
pub(crate) fn no_http(server: &ServerUrl) -> ClientError {
    let secure = server.with_other_scheme();
    failed(
        "NOT_HTTP",
        format!(
            "what answers at {server} does not speak plain HTTP; a hub with a certificate is named {secure}"
        ),
    )
}

fn untrusted(server: &ServerUrl, why: &CertificateError) -> ClientError {
    if let (CertificateError::UnknownIssuer | CertificateError::BadSignature, Some(file)) =
        (why, tls::trusted_file())
    {
        let file = file.display();
        return failed(
            "UNTRUSTED_CERTIFICATE",
            format!(
                "the certificate of {server} is not trusted: {file}, which --cacert or FERRY_CACERT names, holds another \
                 certificate than the hub's or its authority's, though it may have the same name; get the present one \
                 from whoever runs the hub"
            ),
        );
    }
    let (what, advice) = match why {
        CertificateError::UnknownIssuer => (
            "it was issued by an authority that this machine does not know".to_owned(),
            "if that is your own, name its certificate with --cacert FILE",
        ),
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            // They are told as `DnsName("hub.example")`.
            let bare =
                |name: &String| name.split(['(', ')', '"']).rfind(|part| !part.is_empty()).map(str::to_owned);
            let names: Vec<_> = presented.iter().filter_map(bare).collect();
            (format!("it is for {}", names.join(", ")), "name the hub so with --server")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            (format!("it is not for the name {}", server.host()), "name the hub as it does with --server")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            ("it has expired".to_owned(), "renew it at the hub, or check the clock of this machine")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            ("it is not valid yet".to_owned(), "check the clocks of this machine and of the hub")
        }
        CertificateError::BadSignature => (
            "an authority that this machine knows has the name of its issuer, and did not sign it".to_owned(),
            "if it was issued by an authority of your own, name that with --cacert FILE",
        ),
        other if format!("{other:?}").contains("CaUsedAsEndEntity") => (
            "it is that of an authority, not of a server".to_owned(),
            "make a self-signed one with: openssl req -x509 -addext basicConstraints=critical,CA:FALSE …",
        ),
        other => (format!("{other}"), "give the hub another one"),
    };
    failed("UNTRUSTED_CERTIFICATE", format!("the certificate of {server} is not trusted: {what}; {advice}"))
}

fn failed(reason: &str, message: String) -> ClientError {
    ClientError::new(ClientErrorCode::Unreachable, reason, message)
}
