//! Signatures in queries, as Amazon describes them ("Authenticating Requests: Using Query Parameters", Signature Version 4).

use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use super::{
    KEY_ID, REGION, SECRET, refuse,
    wire::{Answer, Asked},
};

/// Clocks may differ by so much.
const SKEW_SECONDS: i64 = 900;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("every length is a key");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// Whether the request is signed with the key, for this region, now.
pub(super) fn check(asked: &Asked, now: i64) -> Result<(), Answer> {
    let parameter = |name: &str| asked.parameter(name).unwrap_or_default();
    let credential = parameter("X-Amz-Credential");
    let [key, day, region, "s3", "aws4_request"] = credential.split('/').collect::<Vec<_>>()[..] else {
        return Err(refuse(403, "AccessDenied"));
    };
    if key != KEY_ID {
        return Err(refuse(403, "InvalidAccessKeyId"));
    }
    if region != REGION {
        return Err(refuse(400, "AuthorizationQueryParametersError"));
    }
    let (date, signed) = (parameter("X-Amz-Date"), parameter("X-Amz-SignedHeaders"));
    let mut headers = String::new();
    for name in signed.split(';') {
        let Some(value) = asked.header(name) else { return Err(refuse(403, "SignatureDoesNotMatch")) };
        headers.push_str(&format!("{name}:{}\n", value.trim()));
    }
    let mut pairs: Vec<&str> =
        asked.query.split('&').filter(|pair| !pair.starts_with("X-Amz-Signature=")).collect();
    pairs.sort_unstable();
    let (path, query) = (&asked.path, pairs.join("&"));
    let canonical = format!("{}\n{path}\n{query}\n{headers}\n{signed}\nUNSIGNED-PAYLOAD", asked.method);
    let digest = hex(&Sha256::digest(canonical.as_bytes()));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{day}/{region}/s3/aws4_request\n{digest}");
    let mut signing = mac(format!("AWS4{SECRET}").as_bytes(), day);
    for part in [region, "s3", "aws4_request"] {
        signing = mac(&signing, part);
    }
    if hex(&mac(&signing, &text)) != parameter("X-Amz-Signature") {
        return Err(refuse(403, "SignatureDoesNotMatch"));
    }
    // What was changed on the way is noticed only if it is signed.
    let must = ["content-md5", "if-none-match", "if-match"];
    if must.iter().any(|name| asked.header(name).is_some() && !signed.split(';').any(|one| one == *name)) {
        return Err(refuse(403, "AccessDenied"));
    }
    let lives: i64 = parameter("X-Amz-Expires").parse().unwrap_or(0);
    let signed_at = super::wire::seconds_of(&date).unwrap_or(0);
    if signed_at > now + SKEW_SECONDS || signed_at + lives < now {
        return Err(refuse(403, "AccessDenied"));
    }
    Ok(())
}
