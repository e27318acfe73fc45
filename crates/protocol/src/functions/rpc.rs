//! Answers of `/rpc/{fn}` (functions specification, 2.2).

use serde::Serialize;

/// A call that returned.
#[derive(Clone, Copy, Debug)]
pub struct RpcSuccess<'a> {
    /// The result, JSON; `None`: the function returned `undefined`.
    pub data: Option<&'a str>,
    /// Hashes of the tables that it depends on, or changed.
    pub tables: &'a [String],
    /// What the caller is warned of.
    pub warnings: &'a [String],
    /// What Ferry's own clients are told beside it.
    pub ferry: Option<FerryMeta<'a>>,
}

/// What Ferry's own clients are told beside a result.
#[derive(Clone, Copy, Debug)]
pub struct FerryMeta<'a> {
    /// The commit that was read, or made.
    pub seq: u64,
    /// Hash of the result.
    pub hash: &'a str,
}

/// A call that failed.
#[derive(Clone, Copy, Debug)]
pub struct RpcFailure<'a> {
    /// For people.
    pub error: &'a str,
    /// For Ferry's own clients: stable word, and id of the request.
    pub ferry: Option<(&'a str, &'a str)>,
}

#[derive(Serialize)]
struct Meta<'a> {
    t: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<&'a str>,
}

#[derive(Serialize)]
struct Failure<'a> {
    success: bool,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(rename = "requestId", skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl RpcSuccess<'_> {
    /// The body. `data` is written as it is.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let meta = Meta {
            t: self.tables,
            seq: self.ferry.map(|ferry| ferry.seq),
            hash: self.ferry.map(|ferry| ferry.hash),
        };
        let data = self.data.map_or(0, str::len);
        let mut body = Vec::with_capacity(data + 128);
        body.extend_from_slice(br#"{"success":true"#);
        if let Some(data) = self.data {
            body.extend_from_slice(br#","data":"#);
            body.extend_from_slice(data.as_bytes());
        }
        body.extend_from_slice(br#","_meta":"#);
        write(&mut body, &meta);
        if !self.warnings.is_empty() {
            body.extend_from_slice(br#","warnings":"#);
            write(&mut body, &self.warnings);
        }
        body.push(b'}');
        body
    }
}

fn write(body: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(body, value).expect("BUG: strings and numbers are JSON");
}

impl RpcFailure<'_> {
    /// The body.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = Failure {
            success: false,
            error: self.error,
            code: self.ferry.map(|(code, _)| code),
            request_id: self.ferry.map(|(_, id)| id),
        };
        serde_json::to_vec(&body).expect("BUG: strings are JSON")
    }
}
