//! A stand-in for S3 on loopback: one bucket in memory, which checks signatures, conditions, digests and the clock as S3 does,
//! and can be made to misbehave. It knows what Ferry asks of S3, and refuses the rest.

mod signature;
mod wire;

use std::{
    collections::BTreeMap,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};

use self::wire::{Answer, Asked};
use crate::wait::unix_seconds;

/// The only bucket.
pub const BUCKET: &str = "ferry-tests";
/// Where it is.
pub const REGION: &str = "eu-north-1";
/// Name of the only key.
pub const KEY_ID: &str = "AKIAFERRYTESTS";
/// That key.
pub const SECRET: &str = "hush/hush+of+the+bucket";

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// 503 `SlowDown`.
    Busy,
    /// The connection is closed before anything is done.
    Cut,
    /// What is asked is done, and the connection closed without an answer.
    Unanswered,
    /// Half of the answer, then the connection is closed.
    HalfAnswered,
    /// 200 and a web page, as a proxy that wants somebody to log in.
    Html,
    /// 404 and a web page.
    HtmlMissing,
    /// 403 `AccessDenied`.
    Denied,
    /// 507 `XMinioStorageFull`.
    Full,
}

/// An object.
#[derive(Clone, Debug)]
pub struct Object {
    /// What it holds.
    pub bytes: Vec<u8>,
    /// When it was made, in Unix seconds.
    pub made: i64,
}

/// Decides by method and key, or the prefix of a list, what goes wrong.
type Upset = Box<dyn FnMut(&str, &str) -> Option<Mishap> + Send>;

struct Shared {
    objects: Mutex<BTreeMap<String, Object>>,
    upset: Mutex<Upset>,
    /// Method and key of every request that was answered or not.
    asked: Mutex<Vec<(String, String)>>,
    settings: Mutex<Settings>,
    stops: AtomicBool,
}

/// How it is set up.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most keys of a list.
    pub page_keys: usize,
    /// Whether `If-None-Match` and `If-Match` are known; else 501.
    pub has_conditions: bool,
    /// Seconds by which its clock is ahead.
    pub ahead_seconds: i64,
}

/// A running stand-in; it ends when it is dropped.
pub struct S3 {
    address: SocketAddr,
    shared: Arc<Shared>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for S3 {
    fn default() -> Self {
        Self::start()
    }
}

impl S3 {
    /// One with an empty bucket.
    ///
    /// # Panics
    /// If no port of loopback is free.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let settings = Settings { page_keys: 1000, has_conditions: true, ahead_seconds: 0 };
        let shared = Arc::new(Shared {
            objects: Mutex::default(),
            upset: Mutex::new(Box::new(|_, _| None)),
            asked: Mutex::default(),
            settings: Mutex::new(settings),
            stops: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if serving.stops.load(Ordering::Relaxed) {
                    return;
                }
                let serving = Arc::clone(&serving);
                // A client that breaks off has its reasons.
                thread::spawn(move || drop(wire::serve(&stream, |asked| serving.answer(asked))));
            }
        });
        Self { address, shared }
    }

    /// Its address, as `backup.s3_endpoint`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes how it is set up.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut lock(&self.shared.settings));
    }

    /// From now on `upset` says what goes wrong, asked by method and key, or the prefix of a list.
    pub fn upset(&self, upset: impl FnMut(&str, &str) -> Option<Mishap> + Send + 'static) {
        *lock(&self.shared.upset) = Box::new(upset);
    }

    /// Nothing goes wrong any more.
    pub fn calm(&self) {
        self.upset(|_, _| None);
    }

    /// What lies there.
    #[must_use]
    pub fn objects(&self) -> BTreeMap<String, Object> {
        lock(&self.shared.objects).clone()
    }

    /// Changes what lies there behind everybody's back.
    pub fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Object>)) {
        change(&mut lock(&self.shared.objects));
    }

    /// Method and key of all requests so far.
    #[must_use]
    pub fn asked(&self) -> Vec<(String, String)> {
        lock(&self.shared.asked).clone()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.shared.stops.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it shall stop.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn answer(&self, asked: &Asked) -> Answer {
        let settings = *lock(&self.settings);
        let now = unix_seconds() + settings.ahead_seconds;
        let key = asked.key();
        let about = key.clone().unwrap_or_else(|| asked.parameter("prefix").unwrap_or_default());
        lock(&self.asked).push((asked.method.clone(), about.clone()));
        let mishap = {
            let mut upset = lock(&self.upset);
            upset(&asked.method, &about)
        };
        let answer = match mishap {
            Some(Mishap::Cut) => return Answer::cut(),
            Some(Mishap::Busy) => refuse(503, "SlowDown"),
            Some(Mishap::Denied) => refuse(403, "AccessDenied"),
            Some(Mishap::Full) => refuse(507, "XMinioStorageFull"),
            Some(Mishap::Html) => html(200),
            Some(Mishap::HtmlMissing) => html(404),
            Some(Mishap::Unanswered) => {
                let _ = self.done(asked, key.as_deref(), settings, now);
                return Answer::cut();
            }
            Some(Mishap::HalfAnswered) => {
                Answer { is_half: true, ..self.done(asked, key.as_deref(), settings, now) }
            }
            None => self.done(asked, key.as_deref(), settings, now),
        };
        answer.dated(now)
    }

    fn done(&self, asked: &Asked, key: Option<&str>, settings: Settings, now: i64) -> Answer {
        if let Err(refused) = signature::check(asked, now) {
            return refused;
        }
        if asked.bucket() != BUCKET {
            return refuse(404, "NoSuchBucket");
        }
        match (&*asked.method, key) {
            ("GET", None) => self.list(asked, settings),
            ("GET", Some(key)) => self.get(asked, key),
            ("PUT", Some(key)) => self.put(asked, key, settings, now),
            ("DELETE", Some(key)) => {
                lock(&self.objects).remove(key);
                Answer::of(204)
            }
            _ => refuse(405, "MethodNotAllowed"),
        }
    }

    fn get(&self, asked: &Asked, key: &str) -> Answer {
        let objects = lock(&self.objects);
        let Some(object) = objects.get(key) else { return refuse(404, "NoSuchKey") };
        let answer = Answer::of(200).with("ETag", tag(&object.bytes));
        let Some(range) = asked.header("range") else {
            return Answer { body: object.bytes.clone(), ..answer };
        };
        let range = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
        let Some((Ok(first), Ok(last))) =
            range.map(|(first, last)| (first.parse::<usize>(), last.parse::<usize>()))
        else {
            return refuse(400, "InvalidArgument");
        };
        if first >= object.bytes.len() || last < first {
            return refuse(416, "InvalidRange");
        }
        let body = object.bytes[first..=last.min(object.bytes.len() - 1)].to_vec();
        let range = format!("bytes {first}-{}/{}", first + body.len() - 1, object.bytes.len());
        Answer { status: 206, body, ..answer.with("Content-Range", range) }
    }

    fn put(&self, asked: &Asked, key: &str, settings: Settings, now: i64) -> Answer {
        let mut objects = lock(&self.objects);
        let there = objects.get(key).map(|object| tag(&object.bytes));
        let (none, only) = (asked.header("if-none-match"), asked.header("if-match"));
        if (none.is_some() || only.is_some()) && !settings.has_conditions {
            return refuse(501, "NotImplemented");
        }
        if none == Some("*") && there.is_some() || only.is_some_and(|tag| there.as_deref() != Some(tag)) {
            return refuse(412, "PreconditionFailed");
        }
        if asked
            .header("content-md5")
            .is_some_and(|digest| digest != STANDARD.encode(Md5::digest(&asked.body)))
        {
            return refuse(400, "BadDigest");
        }
        let answer = Answer::of(200).with("ETag", tag(&asked.body));
        objects.insert(key.to_owned(), Object { bytes: asked.body.clone(), made: now });
        answer
    }

    fn list(&self, asked: &Asked, settings: Settings) -> Answer {
        let (prefix, after) =
            (asked.parameter("prefix").unwrap_or_default(), asked.parameter("continuation-token"));
        let wanted = asked.parameter("max-keys").and_then(|text| text.parse().ok()).unwrap_or(1000);
        let objects = lock(&self.objects);
        let mut found = objects
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after))
            .peekable();
        let mut body = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult>");
        let mut last = None;
        for (key, object) in found.by_ref().take(settings.page_keys.min(wanted)) {
            let (name, made) = (key.replace('/', "%2F"), wire::moment(object.made));
            let (tag, size) = (tag(&object.bytes).replace('"', "&quot;"), object.bytes.len());
            body.push_str(&format!(
                "<Contents><Key>{name}</Key><LastModified>{made}</LastModified><ETag>{tag}</ETag><Size>{size}</Size></Contents>"
            ));
            last = Some(key);
        }
        let more = found.peek().is_some();
        if let Some(last) = last.filter(|_| more) {
            body.push_str(&format!("<NextContinuationToken>{last}</NextContinuationToken>"));
        }
        body.push_str(&format!("<IsTruncated>{more}</IsTruncated></ListBucketResult>"));
        Answer {
            body: body.into_bytes(),
            ..Answer::of(200).with("Content-Type", "application/xml".to_owned())
        }
    }
}

fn tag(bytes: &[u8]) -> String {
    let digest = Md5::digest(bytes);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// A refusal as S3 words it.
fn refuse(status: u16, code: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>of the stand-in</Message>\
         <Region>{REGION}</Region></Error>"
    );
    Answer {
        body: body.into_bytes(),
        ..Answer::of(status).with("Content-Type", "application/xml".to_owned())
    }
}

fn html(status: u16) -> Answer {
    let body = b"<!doctype html><html><title>Log in to the guest network</title></html>".to_vec();
    Answer { body, ..Answer::of(status).with("Content-Type", "text/html".to_owned()) }
}
