//! Ferry's own page wire (PROTOCOL.md), as the holder of a credential for one database.

mod digests;
mod stream;

use bytes::Bytes;
use ferry_protocol::pages::body::MEDIA_TYPE;
use ferry_types::{Code, Leaf, PageCount, Root, Tag};
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{CONTENT_TYPE, ETAG, IF_MATCH},
};
use http_body_util::{BodyExt as _, Collected, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

pub(super) use self::{digests::Digests, stream::VersionStream};
use crate::{
    ClientError, ClientErrorCode, Result, ServerUrl, no_answer,
    v1::{Outgoing, V1Client, encoded, text_body},
};

/// Largest answer that is read whole: refusals, lists, digests.
const DOCUMENT_MAX_BYTES: usize = 8 << 20;
/// Leaves that one question about staged pages may name.
const STAGED_MAX_LEAVES: usize = 131_072;

/// The pages of one database at its hub.
pub(super) struct HubPages {
    v1: V1Client,
    server: ServerUrl,
}

/// What a reader has, as it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum KnownVersion {
    Nothing,
    Tag(Tag),
    Root(Root),
}

impl std::fmt::Display for KnownVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("0"),
            Self::Tag(tag) => tag.fmt(f),
            Self::Root(root) => write!(f, "root:{root}"),
        }
    }
}

/// What the hub has instead of what was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Current {
    pub(super) tag: Tag,
    pub(super) root: Root,
}

/// What a question for what has changed is answered with.
pub(super) enum ChangesAnswer {
    /// The reader has what is newest.
    None(Tag),
    /// A body that leads to this version.
    Body(Tag, Incoming),
    /// The hub does not know what the reader has.
    Unknown(Current, ClientError),
}

/// What a push is answered with.
pub(super) enum PagesPushAnswer {
    /// It is this version now.
    Committed(PushedVersion),
    /// Somebody else was first.
    Moved(Current),
}

/// A committed push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PushedVersion {
    pub(super) tag: Tag,
    pub(super) pages: u64,
}

#[derive(Deserialize)]
struct PushedDocument {
    tag: String,
    pages: u64,
}

#[derive(Deserialize)]
struct WithCurrent {
    current: CurrentDocument,
}

#[derive(Deserialize)]
struct CurrentDocument {
    tag: String,
    root: String,
}

/// A version that the hub keeps.
#[derive(Clone, Debug, Deserialize, serde::Serialize)]
pub struct KeptVersion {
    /// Its number.
    pub version: u64,
    /// Its name.
    pub tag: String,
    /// When it was made, RFC 3339.
    pub time: String,
    /// Bytes per page.
    pub page_size: u32,
    /// Pages of the image.
    pub page_count: u32,
    /// Pages that it changed.
    pub pages: u64,
    /// What keeping what it changed takes.
    pub bytes: u64,
}

#[derive(Deserialize)]
struct VersionsDocument {
    versions: Vec<KeptVersion>,
    next: Option<u64>,
}

/// A database that a fork made.
#[derive(Clone, Debug, Deserialize, serde::Serialize)]
pub struct ForkedDatabase {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub tag: String,
}

impl HubPages {
    /// The pages of the database that `token` is for.
    pub(super) fn new(server: &ServerUrl, token: &str) -> Result<Self> {
        Ok(Self { v1: V1Client::new(server, token)?, server: server.clone() })
    }

    fn path(rest: &str) -> String {
        format!("/v1/databases/-/{rest}")
    }

    /// The tag of the newest version.
    pub(super) async fn newest(&self) -> Result<Tag> {
        let response = self.get(Method::HEAD, "file").await?;
        if response.status().is_success() { self.tag(&response) } else { Err(self.refusal(response).await) }
    }

    /// What leads from what the reader has to `at`, or to the newest version; of `pages` alone, where they are named.
    pub(super) async fn changes(
        &self,
        since: KnownVersion,
        at: Option<&str>,
        pages: Option<&str>,
    ) -> Result<ChangesAnswer> {
        let mut path = format!("pages?since={since}");
        for (name, value) in [("at", at), ("pages", pages)] {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        let response = self.get(Method::GET, &path).await?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(ChangesAnswer::None(self.tag(&response)?)),
            StatusCode::OK => Ok(ChangesAnswer::Body(self.tag(&response)?, response.into_body())),
            StatusCode::GONE => {
                let (error, current) = self.refusal_and_current(response).await;
                match current {
                    Some(current) if error.reason == "BASE_UNKNOWN" => {
                        Ok(ChangesAnswer::Unknown(current, error))
                    }
                    _ => Err(error),
                }
            }
            _ => Err(self.refusal(response).await),
        }
    }

    /// The pages that differ, as a partial body.
    pub(super) async fn pages_at(&self, at: Tag, ranges: &[(u32, u32)]) -> Result<Incoming> {
        let question = json!({"at": at.to_string(), "since": "0", "pages": ranges});
        let response =
            self.post("pages/reconcile", &HeaderMap::new(), text_body(question.to_string())).await?;
        if response.status().is_success() {
            Ok(response.into_body())
        } else {
            Err(self.refusal(response).await)
        }
    }

    /// Which of these leaves the hub has staged.
    pub(super) async fn staged(&self, leaves: &[Leaf]) -> Result<Vec<bool>> {
        let mut staged = Vec::with_capacity(leaves.len());
        for leaves in leaves.chunks(STAGED_MAX_LEAVES) {
            let bytes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            let response = self.post("pages/staged", &headers, text_body(bytes)).await?;
            let bits = self.whole(response).await?;
            let is_set = |n: usize| bits.get(n / 8).is_some_and(|byte| byte >> (n % 8) & 1 == 1);
            staged.extend((0..leaves.len()).map(is_set));
        }
        Ok(staged)
    }

    /// Pushes a body over the version that it is based on.
    pub(super) async fn push(&self, over: Tag, body: Outgoing) -> Result<PagesPushAnswer> {
        let mut headers = if_match(over);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        let response = self.post("pages", &headers, body).await?;
        self.push_answer(response).await
    }

    /// Makes the newest version one with the pages of an old one.
    pub(super) async fn restore(&self, at: &str, over: Tag) -> Result<PagesPushAnswer> {
        let response =
            self.post("restore", &if_match(over), text_body(json!({"at": at}).to_string())).await?;
        self.push_answer(response).await
    }

    /// Makes a new database of a version.
    pub(super) async fn fork(&self, at: Option<&str>, name: &str) -> Result<ForkedDatabase> {
        let question = match at {
            Some(at) => json!({"at": at, "name": name}),
            None => json!({"name": name}),
        };
        let response = self.post("fork", &HeaderMap::new(), text_body(question.to_string())).await?;
        if response.status().is_success() {
            self.v1.document(response).await
        } else {
            Err(self.refusal(response).await)
        }
    }

    /// The versions that are kept, newest first, at most `most`.
    pub(super) async fn versions(&self, most: usize) -> Result<Vec<KeptVersion>> {
        let (mut found, mut before) = (Vec::new(), None);
        while found.len() < most {
            let mut path = format!("pages/versions?limit={}", (most - found.len()).min(1000));
            if let Some(before) = before {
                path.push_str(&format!("&before={before}"));
            }
            let document: VersionsDocument =
                self.v1.json(Method::GET, &Self::path(&path), text_body("")).await?;
            found.extend(document.versions);
            before = document.next;
            if before.is_none() {
                break;
            }
        }
        Ok(found)
    }

    /// Follows the versions after what the reader has.
    pub(super) async fn stream(&self, since: Option<Tag>, inline_max_bytes: u32) -> Result<VersionStream> {
        let mut path = format!("pages/stream?inline={inline_max_bytes}");
        if let Some(tag) = since {
            path.push_str(&format!("&since={tag}"));
        }
        let response = self.get(Method::GET, &path).await?;
        if response.status().is_success() {
            Ok(VersionStream::new(response.into_body()))
        } else {
            Err(self.refusal(response).await)
        }
    }

    async fn get(&self, method: Method, rest: &str) -> Result<Response<Incoming>> {
        self.v1.request(method, &Self::path(rest), &HeaderMap::new(), text_body("")).await
    }

    async fn post(&self, rest: &str, headers: &HeaderMap, body: Outgoing) -> Result<Response<Incoming>> {
        self.v1.request(Method::POST, &Self::path(rest), headers, body).await
    }

    async fn push_answer(&self, response: Response<Incoming>) -> Result<PagesPushAnswer> {
        if response.status() == StatusCode::PRECONDITION_FAILED {
            let (error, current) = self.refusal_and_current(response).await;
            return current.map(PagesPushAnswer::Moved).ok_or(error);
        }
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let document: PushedDocument = self.v1.document(response).await?;
        Ok(PagesPushAnswer::Committed(PushedVersion {
            tag: parse_tag(&document.tag)?,
            pages: document.pages,
        }))
    }

    /// The whole of an answer that is a success.
    async fn whole(&self, response: Response<Incoming>) -> Result<Bytes> {
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let collected = Limited::new(response.into_body(), DOCUMENT_MAX_BYTES).collect().await;
        collected
            .map(Collected::to_bytes)
            .map_err(|error| no_answer::unreachable(&self.server, &error.to_string()))
    }

    fn tag(&self, response: &Response<Incoming>) -> Result<Tag> {
        let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok()).unwrap_or_default();
        parse_tag(etag.trim_start_matches("W/").trim_matches('"'))
    }

    async fn refusal(&self, response: Response<Incoming>) -> ClientError {
        self.refusal_and_current(response).await.0
    }

    async fn refusal_and_current(&self, response: Response<Incoming>) -> (ClientError, Option<Current>) {
        let (head, body) = response.into_parts();
        let body = Limited::new(body, DOCUMENT_MAX_BYTES).collect().await;
        let body = body.map(Collected::to_bytes).unwrap_or_default();
        let mut error = self.v1.refused(head.status, &head.headers, &body);
        if error.reason == "VERSION_GONE" {
            error.code = ClientErrorCode::Table(Code::NotFound);
        }
        let current = serde_json::from_slice::<WithCurrent>(&body).ok().and_then(|found| {
            let current = found.current;
            Some(Current { tag: current.tag.parse().ok()?, root: parse_root(&current.root)? })
        });
        (error, current)
    }
}

fn if_match(tag: Tag) -> HeaderMap {
    let value = HeaderValue::try_from(format!("\"{tag}\"")).expect("BUG: a tag is plain text");
    HeaderMap::from_iter([(IF_MATCH, value)])
}

fn parse_tag(text: &str) -> Result<Tag> {
    text.parse().map_err(|_| ClientError::unverified(format!("the hub names a version {text:?}")))
}

fn parse_root(hex: &str) -> Option<Root> {
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    let mut root = [0; 32];
    if pairs.len() != root.len() || !rest.is_empty() {
        return None;
    }
    for (byte, digits) in root.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(Root(root))
}

/// A page count in a header.
fn count_in(headers: &HeaderMap, name: &str) -> Result<u32> {
    let found = headers.get(name).and_then(|value| value.to_str().ok()?.parse().ok());
    found.ok_or_else(|| ClientError::unverified(format!("the hub's answer lacks {name}")))
}

impl HubPages {
    /// Digests of an image: of these nodes of `level`, or of the lowest level that is short.
    pub(super) async fn digests(
        &self,
        at: Option<Tag>,
        level: Option<u8>,
        nodes: &[(u32, u32)],
    ) -> Result<Digests> {
        let question = json!({"at": at.map(|tag| tag.to_string()), "level": level, "nodes": nodes});
        let response =
            self.post("pages/reconcile", &HeaderMap::new(), text_body(question.to_string())).await?;
        if !response.status().is_success() {
            return Err(self.refusal(response).await);
        }
        let tag = self.tag(&response)?;
        let headers = response.headers();
        let level = count_in(headers, "ferry-level")?;
        let (page_size, page_count) =
            (count_in(headers, "ferry-page-size")?, count_in(headers, "ferry-page-count")?);
        let bytes = self.whole(response).await?;
        let (digests, rest) = bytes.as_chunks::<8>();
        let level = u8::try_from(level).ok().filter(|level| *level <= 6 && rest.is_empty());
        let level = level.ok_or_else(|| ClientError::unverified("the hub's digests are cut off"))?;
        Ok(Digests { tag, level, page_size, page_count: PageCount(page_count), digests: digests.to_vec() })
    }
}
