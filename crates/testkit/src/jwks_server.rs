//! An issuer's key server on loopback, which can be made to misbehave.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::{
    jwt::{Key, key_set},
    tls,
};

/// How the server answers.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// With these keys, and this `Cache-Control` if there is one.
    Keys(Vec<Key>, Option<&'static str>),
    /// With this status and body.
    Answer(u16, String),
    /// With a redirect to a place that would have the keys.
    Redirect,
    /// Not at all: connections stay open and silent.
    Silence,
    /// Connections are closed at once.
    Refuse,
}

struct Shared {
    behaviour: Mutex<Behaviour>,
    requests: AtomicUsize,
    paths: Mutex<BTreeMap<String, usize>>,
    silent: Mutex<Vec<TcpStream>>,
    /// Of a server that speaks HTTPS.
    tls: Option<Arc<ServerConfig>>,
    stops: AtomicBool,
}

/// A running server; it ends when it is dropped.
pub struct JwksServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl JwksServer {
    /// A server that answers so.
    ///
    /// # Panics
    /// If no port of loopback is free.
    #[must_use]
    pub fn start(behaviour: Behaviour) -> Self {
        Self::serve(behaviour, None)
    }

    /// The same over HTTPS, with a certificate that [`tls::AUTHORITY`] has signed.
    ///
    /// # Panics
    /// If no port of loopback is free.
    #[must_use]
    pub fn start_tls(behaviour: Behaviour) -> Self {
        Self::serve(behaviour, Some(tls::server()))
    }

    fn serve(behaviour: Behaviour, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port of loopback is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            behaviour: Mutex::new(behaviour),
            requests: AtomicUsize::new(0),
            paths: Mutex::default(),
            silent: Mutex::default(),
            tls,
            stops: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stops.load(Ordering::Relaxed) {
                    break;
                }
                // A client that goes away is of no interest.
                let _ = serve(stream, &serving);
            }
        });
        Self { address, shared }
    }

    /// Where the keys are.
    #[must_use]
    pub fn url(&self) -> String {
        match self.shared.tls {
            None => format!("http://{}/jwks", self.address),
            Some(_) => format!("https://localhost:{}/jwks", self.address.port()),
        }
    }

    /// Answers so from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *lock(&self.shared.behaviour) = behaviour;
    }

    /// Requests so far, whatever became of them.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// Requests for paths other than the keys': a redirect that was followed.
    #[must_use]
    pub fn strayed(&self) -> usize {
        lock(&self.shared.paths).iter().filter(|(path, _)| *path != "/jwks").map(|(_, count)| count).sum()
    }
}

impl Drop for JwksServer {
    fn drop(&mut self) {
        self.shared.stops.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it shall stop.
        let _ = TcpStream::connect(self.address);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let behaviour = lock(&shared.behaviour).clone();
    shared.requests.fetch_add(1, Ordering::Relaxed);
    match behaviour {
        Behaviour::Refuse => return Ok(()),
        Behaviour::Silence => {
            lock(&shared.silent).push(stream);
            return Ok(());
        }
        Behaviour::Keys(..) | Behaviour::Answer(..) | Behaviour::Redirect => {}
    }
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    match &shared.tls {
        None => answer(stream, shared, behaviour),
        Some(config) => {
            let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
            answer(StreamOwned::new(connection, stream), shared, behaviour)
        }
    }
}

fn answer(stream: impl Read + Write, shared: &Shared, behaviour: Behaviour) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    *lock(&shared.paths).entry(path).or_default() += 1;
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let (status, header, body) = match behaviour {
        Behaviour::Keys(keys, cache_control) => {
            let cached =
                cache_control.map_or_else(String::new, |value| format!("Cache-Control: {value}\r\n"));
            (200, cached, key_set(&keys).to_string())
        }
        Behaviour::Answer(status, body) => (status, String::new(), body),
        Behaviour::Redirect => (302, "Location: /elsewhere\r\n".to_owned(), String::new()),
        Behaviour::Silence | Behaviour::Refuse => return Ok(()),
    };
    let length = body.len();
    let stream = reader.get_mut();
    write!(
        stream,
        "HTTP/1.1 {status} Answer\r\n{header}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    stream.flush()
}
