//! Settings of traces: where they go, and how many requests are traced.

use ferry_http_client::RemoteUrl;
use http::{HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::{ConfigError, Key, Values, keys::key};

/// Its settings.
pub(super) const KEYS: &[Key] = &[
    key(
        "otlp_endpoint",
        "URL",
        "Collector that is sent traces, by OTLP over HTTP: http://127.0.0.1:4318; /v1/traces is added, unless the URL ends so",
    ),
    key("otlp_headers", "NAME=VALUE,…", "Headers of what is sent there, values percent-encoded").secret(),
    key(
        "otlp_sample",
        "SHARE",
        "Share of the requests that are traced, 0 to 1; of requests that trusted_proxies pass on with a traceparent, its flag decides [default: 0.05]",
    ),
];

/// What the path of a collector ends in (OTLP 1, section "OTLP/HTTP Request").
const TRACES_PATH: &str = "/v1/traces";

/// Where traces go.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// The collector; `None`: nothing is traced.
    pub endpoint: Option<RemoteUrl>,
    /// Headers of what it is sent; they may be secret.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Share of the requests that are traced, from 0 to 1.
    pub sample: f64,
}

impl OtlpConfig {
    /// Reads them. What should be mended, but need not, goes to `warnings`.
    pub(super) fn read(values: &Values, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        let endpoint = values.read("otlp_endpoint", endpoint)?;
        let headers = values.list("otlp_headers", header)?;
        match &endpoint {
            None if !headers.is_empty() => {
                warnings.push("otlp_headers are sent nowhere: set otlp_endpoint, too".to_owned());
            }
            Some(url)
                if !headers.is_empty() && url.uri().scheme_str() == Some("http") && !url.is_loopback() =>
            {
                warnings.push(
                    "otlp_headers go to otlp_endpoint over plain http, where others can read them: use https"
                        .to_owned(),
                );
            }
            _ => {}
        }
        Ok(Self { endpoint, headers, sample: values.number("otlp_sample", 0.05, 0.0, 1.0)? })
    }
}

fn endpoint(text: &str) -> Result<RemoteUrl, String> {
    RemoteUrl::any(text)?;
    if text.contains('?') {
        return Err("expected a URL without a query".to_owned());
    }
    let base = text.trim_end_matches('/');
    let url = if base.ends_with(TRACES_PATH) { base.to_owned() } else { format!("{base}{TRACES_PATH}") };
    Ok(RemoteUrl::any(&url)?)
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let expected = || "expected name=value, with values percent-encoded".to_owned();
    let (name, value) = text.split_once('=').ok_or_else(expected)?;
    let name = name.trim().parse::<HeaderName>().map_err(|_| expected())?;
    let value = percent_decode_str(value.trim()).decode_utf8().map_err(|_| expected())?;
    let mut value = HeaderValue::from_str(&value).map_err(|_| expected())?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_once() {
        for (given, sent) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://collector.example/otlp/", "https://collector.example/otlp/v1/traces"),
            ("https://collector.example/v1/traces", "https://collector.example/v1/traces"),
        ] {
            assert_eq!(endpoint(given).unwrap().to_string(), sent);
        }
        for bad in ["collector:4318", "grpc://collector:4317", "https://a:b@collector", "https://c/?key=1"] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn headers_are_decoded() {
        let (name, value) = header("Authorization=Bearer%20abc%3D").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("authorization", "Bearer abc="));
        assert!(value.is_sensitive());
        for bad in ["", "name", "a b=c", "a=%0a", "a=%ff"] {
            assert!(header(bad).is_err(), "{bad}");
        }
    }
}
