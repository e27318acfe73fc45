//! A bucket of S3 as a target, `s3://bucket/prefix`: of Amazon, or of whoever speaks its language.

mod answer;
mod connection;
mod lock;
mod read_ahead;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{StatusCode, header};
use md5::{Digest as _, Md5};
use rusty_s3::{
    Bucket, Credentials,
    actions::{DeleteObject, GetObject, ListObjectsV2, PutObject},
};
use tokio_util::sync::CancellationToken;

use self::{
    answer::{S3Answer, moment},
    connection::{BucketConnection, S3Ask},
    lock::BucketLock,
    read_ahead::ReadAhead,
};
use crate::{BackupTarget, Error, ObjectInfo, ObjectTag, Result, TargetLock};

/// Objects are read in parts of so many bytes, so that one that stops half-way is noticed soon.
const PART_BYTES: usize = 8 << 20;
/// A list has a thousand keys of 1,024 bytes at most, percent-encoded, and what is said of each.
const LIST_MAX_BYTES: usize = 8 << 20;
/// An object that is replaced has so many bytes at most.
const REPLACED_MAX_BYTES: usize = 64 << 10;
/// Keys that S3 lists at once at most.
const LIST_KEYS: usize = 1000;

/// A bucket, or a part of it.
pub(crate) struct BucketTarget {
    url: String,
    prefix: String,
    connection: Arc<BucketConnection>,
    /// Whether S3 said that it does not know how to keep an object.
    has_no_conditions: AtomicBool,
    read_ahead: ReadAhead,
}

/// What a read of a part found.
enum Part {
    /// These bytes of an object of so many.
    Bytes(Bytes, u64),
    /// The object ends before.
    Behind,
    Missing,
}

impl BucketTarget {
    /// On the runtime of this thread. `prefix` is empty or ends in `/`.
    pub(crate) fn new(
        url: &str,
        place: (Bucket, Credentials),
        prefix: String,
        stopping: CancellationToken,
    ) -> Self {
        let connection = Arc::new(BucketConnection::new(place, stopping));
        let has_no_conditions = AtomicBool::new(false);
        Self { url: url.to_owned(), prefix, connection, has_no_conditions, read_ahead: ReadAhead::default() }
    }

    fn key(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    /// The error for an answer that was not expected.
    fn refused(&self, answer: &S3Answer, doing: &str, path: &str) -> Error {
        answer.refusal(&format!("{doing} {path} in"), &self.url)
    }

    fn put(&self, path: &str, body: &Bytes, condition: Option<(&'static str, &str)>) -> Result<S3Answer> {
        let key = self.key(path);
        let ask = put_of(body.clone(), condition);
        let connection = &*self.connection;
        let put = || PutObject::new(connection.bucket(), Some(connection.credentials()), &key);
        connection.ask(put, &ask)
    }

    /// Whether what was put is there, as the answer says.
    fn is_put(&self, answer: &S3Answer, path: &str) -> Result<()> {
        // Whoever else answers 200 has no tag of what was sent.
        if answer.status == StatusCode::OK && answer.header(header::ETAG).is_some() {
            return Ok(());
        }
        Err(self.refused(answer, "write", path))
    }

    fn read_part(&self, path: &str, offset: u64, length: usize) -> Result<Part> {
        let answer = self.ask_part(path, offset, length)?;
        self.part_of(&answer, path, offset, length)
    }

    fn ask_part(&self, path: &str, offset: u64, length: usize) -> Result<S3Answer> {
        let key = self.key(path);
        let last = offset + (length.max(1) as u64 - 1);
        let ask = S3Ask {
            plain: vec![("range", format!("bytes={offset}-{last}"))],
            max_bytes: length,
            ..S3Ask::default()
        };
        let connection = &*self.connection;
        let get = || GetObject::new(connection.bucket(), Some(connection.credentials()), &key);
        connection.ask(get, &ask)
    }

    fn part_of(&self, answer: &S3Answer, path: &str, offset: u64, length: usize) -> Result<Part> {
        match answer.status {
            StatusCode::PARTIAL_CONTENT => {
                let range = answer.header(header::CONTENT_RANGE).and_then(range_of);
                match range {
                    Some((first, total)) if first == offset && answer.body.len() <= length => {
                        Ok(Part::Bytes(answer.body.clone(), total))
                    }
                    _ => Err(self.refused(answer, "read", path)),
                }
            }
            // Some give an object without bytes whole.
            StatusCode::OK if answer.body.is_empty() && answer.header(header::ETAG).is_some() => {
                Ok(Part::Behind)
            }
            StatusCode::RANGE_NOT_SATISFIABLE => Ok(Part::Behind),
            _ if answer.is_missing() => Ok(Part::Missing),
            _ => Err(self.refused(answer, "read", path)),
        }
    }

    /// A page of a list.
    fn list_page(
        &self,
        folder: &str,
        token: Option<&str>,
    ) -> Result<(S3Answer, rusty_s3::actions::ListObjectsV2Response)> {
        let mut query =
            vec![("prefix", self.key(&format!("{folder}/"))), ("max-keys", LIST_KEYS.to_string())];
        query.extend(token.map(|token| ("continuation-token", token.to_owned())));
        let ask = S3Ask { query, max_bytes: LIST_MAX_BYTES, ..S3Ask::default() };
        let connection = &*self.connection;
        let list = || ListObjectsV2::new(connection.bucket(), Some(connection.credentials()));
        let answer = connection.ask(list, &ask)?;
        if answer.status != StatusCode::OK {
            return Err(self.refused(&answer, "list", folder));
        }
        match ListObjectsV2::parse_response(&answer.body) {
            Ok(page) => Ok((answer, page)),
            Err(_) => Err(self.refused(&answer, "list", folder)),
        }
    }

    /// The objects below a folder, and the moment by the clock of S3.
    fn list_at(&self, folder: &str) -> Result<(Vec<ObjectInfo>, i64)> {
        let mut objects = Vec::new();
        let (mut token, mut now) = (None, None);
        loop {
            let (answer, page) = self.list_page(folder, token.as_deref())?;
            now = now.or_else(|| answer.date());
            for content in page.contents {
                let Ok(key) = percent_encoding::percent_decode_str(&content.key).decode_utf8() else {
                    continue;
                };
                let Some(path) = key.strip_prefix(&self.prefix) else { continue };
                let made = moment(&content.last_modified).ok_or_else(|| {
                    Error::Refused(format!("{}: it does not tell when {path} was made", self.url))
                })?;
                objects.push(ObjectInfo { path: path.to_owned(), bytes: content.size, made });
            }
            match page.next_continuation_token.filter(|next| !next.is_empty()) {
                Some(next) if token.as_ref() == Some(&next) => {
                    return Err(Error::Refused(format!("{}: its lists do not end", self.url)));
                }
                Some(next) => token = Some(next),
                None => break,
            }
        }
        objects.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((objects, now.unwrap_or_else(answer::now)))
    }

    /// Makes an object where S3 does not know conditions: others may be faster between look and write.
    fn put_after_look(&self, path: &str, body: &Bytes) -> Result<bool> {
        if !matches!(self.read_part(path, 0, 1)?, Part::Missing) {
            return Ok(false);
        }
        let answer = self.put(path, body, None)?;
        self.is_put(&answer, path).map(|()| true)
    }
}

/// What is sent to make an object.
fn put_of(body: Bytes, condition: Option<(&'static str, &str)>) -> S3Ask {
    let mut signed = vec![("content-md5", STANDARD.encode(Md5::digest(&body)))];
    signed.extend(condition.map(|(name, value)| (name, value.to_owned())));
    S3Ask { signed, body, ..S3Ask::default() }
}

/// First byte and whole length: `bytes 0-9/100`.
fn range_of(text: &str) -> Option<(u64, u64)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, total.parse().ok()?))
}

impl BackupTarget for BucketTarget {
    fn url(&self) -> &str {
        &self.url
    }

    fn put_new(&self, path: &str, bytes: &[u8]) -> Result<bool> {
        let body = Bytes::copy_from_slice(bytes);
        if self.has_no_conditions.load(Ordering::Relaxed) {
            return self.put_after_look(path, &body);
        }
        let answer = self.put(path, &body, Some(("if-none-match", "*")))?;
        if answer.is_unknown() {
            self.has_no_conditions.store(true, Ordering::Relaxed);
            return self.put_after_look(path, &body);
        }
        if answer.status == StatusCode::PRECONDITION_FAILED {
            // A try whose answer was lost may have made it.
            return Ok(answer.is_repeated && self.get(path, bytes.len())?.is_some_and(|there| there == bytes));
        }
        self.is_put(&answer, path).map(|()| true)
    }

    fn creates_once(&self) -> bool {
        !self.has_no_conditions.load(Ordering::Relaxed)
    }

    fn swaps(&self, path: &str) -> Result<bool> {
        let nobodys = "\"00000000000000000000000000000000\"";
        let answer = self.put(path, &Bytes::new(), Some(("if-match", nobodys)))?;
        if answer.is_unknown() {
            return Ok(false);
        }
        if answer.status == StatusCode::PRECONDITION_FAILED {
            return Ok(true);
        }
        self.is_put(&answer, path).map(|()| false)
    }

    fn get(&self, path: &str, max_bytes: usize) -> Result<Option<Vec<u8>>> {
        let longer = || Error::damaged(path, "it is longer than any such object");
        let mut bytes = Vec::new();
        loop {
            match self.read_part(path, bytes.len() as u64, PART_BYTES)? {
                Part::Missing if bytes.is_empty() => return Ok(None),
                Part::Missing => return Err(Error::damaged(path, "it is missing")),
                Part::Behind if bytes.is_empty() => break,
                Part::Behind => return Err(Error::damaged(path, "it is cut off")),
                Part::Bytes(_, total) if total > max_bytes as u64 => return Err(longer()),
                Part::Bytes(part, total) => {
                    bytes.extend_from_slice(&part);
                    if bytes.len() as u64 >= total {
                        break;
                    }
                    if part.is_empty() {
                        return Err(Error::damaged(path, "it is cut off"));
                    }
                }
            }
        }
        if bytes.len() > max_bytes { Err(longer()) } else { Ok(Some(bytes)) }
    }

    fn get_tagged(&self, path: &str, max_bytes: usize) -> Result<Option<(Vec<u8>, ObjectTag)>> {
        let answer = self.ask_part(path, 0, max_bytes)?;
        let (bytes, total) = match self.part_of(&answer, path, 0, max_bytes)? {
            Part::Missing => return Ok(None),
            Part::Behind => (Bytes::new(), 0),
            Part::Bytes(bytes, total) => (bytes, total),
        };
        if total != bytes.len() as u64 {
            return Err(Error::damaged(path, "it is longer than any such object, or cut off"));
        }
        match answer.header(header::ETAG) {
            Some(tag) => Ok(Some((bytes.to_vec(), ObjectTag(tag.to_owned())))),
            None => Err(self.refused(&answer, "read", path)),
        }
    }

    fn replace(&self, path: &str, bytes: &[u8], was: Option<&ObjectTag>) -> Result<bool> {
        let body = Bytes::copy_from_slice(bytes);
        let condition = was.map_or(("if-none-match", "*"), |ObjectTag(tag)| ("if-match", tag));
        let answer = self.put(path, &body, Some(condition))?;
        if answer.is_unknown() {
            let there = self.get_tagged(path, REPLACED_MAX_BYTES)?.map(|(_, tag)| tag);
            if there.as_ref() != was {
                return Ok(false);
            }
            let answer = self.put(path, &body, None)?;
            return self.is_put(&answer, path).map(|()| true);
        }
        // With a tag that there is none of: removed meanwhile.
        if answer.status == StatusCode::PRECONDITION_FAILED || (was.is_some() && answer.is_missing()) {
            return Ok(answer.is_repeated && self.get(path, bytes.len())?.is_some_and(|there| there == bytes));
        }
        self.is_put(&answer, path).map(|()| true)
    }

    fn get_range(&self, path: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.read_ahead.read(path, offset, length, |offset, length| {
            match self.read_part(path, offset, length)? {
                Part::Bytes(bytes, _) => Ok(bytes),
                Part::Behind => Ok(Bytes::new()),
                Part::Missing => Err(Error::damaged(path, "it is missing")),
            }
        })
    }

    fn list(&self, folder: &str) -> Result<Vec<ObjectInfo>> {
        self.list_at(folder).map(|(objects, _)| objects)
    }

    fn delete(&self, path: &str) -> Result<()> {
        let key = self.key(path);
        let connection = &*self.connection;
        let delete = || DeleteObject::new(connection.bucket(), Some(connection.credentials()), &key);
        let answer = connection.ask(delete, &S3Ask::default())?;
        if matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::OK) && answer.body.is_empty()
            || answer.is_missing()
        {
            return Ok(());
        }
        Err(self.refused(&answer, "remove", path))
    }

    fn lock(&self) -> Result<Box<dyn TargetLock>> {
        Ok(Box::new(BucketLock::take(self)?))
    }

    fn remove_leftovers(&self, before: i64) -> Result<()> {
        // Objects are there whole or not at all; only whoever is killed leaves its lock.
        for object in self.list(lock::LOCKS)? {
            if object.made < before {
                self.delete(&object.path)?;
            }
        }
        Ok(())
    }
}
