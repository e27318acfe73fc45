//! The way from clients to the hub: its public URL, through whatever stands in front, and its certificate.

use ferry_client::{
    ServerUrl,
    status::{RequestArrival, StatusClient},
    tls,
};
use ferry_hub::config::Config;
use http::{HeaderMap, header};

use super::{Findings, Level};
use crate::system::unix_seconds;

/// Seconds by which a clock may be off, and by which nothing that is signed holds any more.
const SKEW_WARN_SECONDS: i64 = 2;
const SKEW_FAIL_SECONDS: i64 = 60;
/// Days before its end in which a certificate should have been renewed.
const RENEWED_BEFORE_DAYS: i64 = 21;
const DAY_SECONDS: i64 = 86_400;

pub(super) async fn check(config: &Config, findings: &mut Findings) {
    if let Some(files) = &config.listener.tls {
        match tls::certificate_file_ends(&files.cert) {
            Ok(ends) => certificate("tls_cert", ends, findings),
            Err(error) => findings.add(Level::Fail, "certificate", error.message),
        }
    }
    let Some(url) = &config.listener.public_url else {
        let text = "no public_url: only who knows the address comes, and nothing is asked through a proxy";
        return findings.add(Level::Ok, "public url", text);
    };
    match url.parse::<ServerUrl>() {
        Ok(server) => through(&server, config, findings).await,
        Err(error) => findings.add(Level::Fail, "public url", error.to_string()),
    }
}

/// Asks the hub as its clients do.
async fn through(server: &ServerUrl, config: &Config, findings: &mut Findings) {
    let hub = StatusClient::new(server);
    let answer = match hub.get("/healthz").await {
        Ok(answer) => answer,
        Err(error) => {
            let text =
                format!("{}; does the name lead here, does the proxy run, is the port open?", error.message);
            return findings.add(Level::Fail, "public url", text);
        }
    };
    let (status, headers, body) = answer;
    if !status.is_success() || &body[..] != b"ok" {
        let text = format!(
            "{server}/healthz answered {status}, and not as a hub does: have the proxy pass all paths on"
        );
        return findings.add(Level::Fail, "public url", text);
    }
    findings.add(Level::Ok, "public url", format!("{server} leads to a hub"));
    skew(&headers, findings);
    match hub.passes_upgrades().await {
        Ok(true) => findings.add(Level::Ok, "upgrades", "WebSockets get through"),
        Ok(false) => findings.add(
            Level::Fail,
            "upgrades",
            "the proxy does not pass upgrades on, so that no socket opens: see docs/proxies.md",
        ),
        Err(error) => findings.add(Level::Fail, "upgrades", error.message),
    }
    match hub.reach().await {
        Ok(Some(reach)) => arrival(&reach, config, findings),
        Ok(None) => findings.add(
            Level::Warn,
            "streams",
            format!(
                "not looked at: {server}/v1/reach answered otherwise than a hub that has time; ask again, and have the proxy pass \
                 all paths on"
            ),
        ),
        Err(error) => findings.add(Level::Fail, "streams", error.message),
    }
    match hub.certificate_ends().await {
        Ok(None) if server.is_loopback() => {}
        Ok(None) => findings.add(
            Level::Warn,
            "certificate",
            format!(
                "{server} is plain http: tokens can be read on the way; put TLS in front, or set tls_cert"
            ),
        ),
        Ok(Some(ends)) => certificate("public url", ends, findings),
        Err(error) => findings.add(Level::Fail, "certificate", error.message),
    }
}

/// What proxies make of streams and of the client's address.
fn arrival(reach: &RequestArrival, config: &Config, findings: &mut Findings) {
    match reach.is_held_back {
        false => findings.add(Level::Ok, "streams", "events arrive as they are sent"),
        true => findings.add(
            Level::Fail,
            "streams",
            "the proxy holds answers back until they end, so that nothing arrives live: turn its buffering off (docs/proxies.md)",
        ),
    }
    let client = &reach.client;
    let (level, text) = if reach.is_forwarded && !reach.is_believed {
        let text = format!(
            "the hub takes {client}, the proxy, for every client, and all share its limits: name it in trusted_proxies"
        );
        (Level::Warn, text)
    } else if !reach.is_believed && !config.listener.trusted_proxies.is_empty() {
        let text = format!(
            "the hub sees {client}, and nobody of trusted_proxies said whose request it was: have the proxy set \
             X-Forwarded-For (docs/proxies.md)"
        );
        (Level::Warn, text)
    } else {
        (Level::Ok, format!("the hub sees this machine as {client}"))
    };
    findings.add(level, "client address", text);
}

/// Compares the clocks of both ends.
fn skew(headers: &HeaderMap, findings: &mut Findings) {
    let date = headers.get(header::DATE).and_then(|value| value.to_str().ok());
    let told = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
    let Some(told) = told.map(|told| told.timestamp().as_second()) else { return };
    let (level, text) = skewed((unix_seconds() - told).abs());
    findings.add(level, "clock", text);
}

/// What is to be said of clocks that are so many seconds apart.
fn skewed(off: i64) -> (Level, String) {
    let text = format!("this clock and that of the answer differ by {off} s");
    if off <= SKEW_WARN_SECONDS {
        (Level::Ok, text)
    } else if off <= SKEW_FAIL_SECONDS {
        (Level::Warn, format!("{text}: have both synchronised"))
    } else {
        (Level::Fail, format!("{text}: set the wrong one right; tokens end by it"))
    }
}

fn certificate(whose: &str, ends: i64, findings: &mut Findings) {
    let days = (ends - unix_seconds()).div_euclid(DAY_SECONDS);
    let text = format!("that of {whose} ends in {days} days");
    match days {
        ..0 => findings.add(Level::Fail, "certificate", format!("that of {whose} has ended: renew it")),
        0..RENEWED_BEFORE_DAYS => {
            findings.add(Level::Warn, "certificate", format!("{text}: whoever renews it does not"));
        }
        _ => findings.add(Level::Ok, "certificate", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: OPR-88
    #[test]
    fn clocks_may_be_two_seconds_apart_and_a_minute_is_too_much() {
        let level = |off| skewed(off).0;
        assert_eq!(
            (level(0), level(2), level(3), level(60)),
            (Level::Ok, Level::Ok, Level::Warn, Level::Warn)
        );
        assert_eq!(level(61), Level::Fail);
        assert!(skewed(61).1.contains("set the wrong one right"));
    }
}
