//! A network between a client and a hub that fails on demand: it refuses, falls silent on connections that are open, cuts
//! answers, delays, or lets another hub stand behind the same address.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// How the network is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Everything passes.
    Open,
    /// Connections are closed, new ones at once.
    Refused,
    /// Connections stay open, and nothing passes in either direction: both ends wait.
    Silent,
    /// Requests pass; of each connection's answers only so many bytes, then it is closed.
    CutAfter(usize),
    /// Each piece waits so long.
    Slow(Duration),
}

/// The network, at an address of its own.
#[derive(Debug)]
pub struct Partition {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    link: Link,
    target: SocketAddr,
    open: Vec<TcpStream>,
    /// Connections so far.
    count: usize,
}

impl Partition {
    /// An open network to `target`.
    ///
    /// # Panics
    /// If no port can be had.
    #[must_use]
    pub fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("a port");
        let inner = Inner { link: Link::Open, target, open: Vec::new(), count: 0 };
        let state = Arc::new(State { inner: Mutex::new(inner), changed: Condvar::new() });
        let accepting = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                accepting.connect(stream);
            }
        });
        Self { address, state }
    }

    /// Where clients connect to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Changes the network. What is open is closed, but for [`Link::Silent`] and [`Link::Slow`].
    pub fn set(&self, link: Link) {
        let mut inner = self.state.lock();
        if inner.link == link {
            return;
        }
        inner.link = link;
        if !matches!(link, Link::Silent | Link::Slow(_)) {
            close(&mut inner);
        }
        drop(inner);
        self.state.changed.notify_all();
    }

    /// From now on another hub stands behind the address.
    pub fn set_target(&self, target: SocketAddr) {
        let mut inner = self.state.lock();
        inner.target = target;
        close(&mut inner);
    }

    /// How many connections there were.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.lock().count
    }
}

fn close(inner: &mut Inner) {
    for stream in inner.open.drain(..) {
        // It may be closed already.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(self: &Arc<Self>, client: TcpStream) {
        let (link, target) = {
            let mut inner = self.lock();
            inner.count += 1;
            (inner.link, inner.target)
        };
        if link == Link::Refused {
            return;
        }
        let Ok(hub) = TcpStream::connect(target) else { return };
        let (Ok(from_hub), Ok(to_client)) = (hub.try_clone(), client.try_clone()) else { return };
        let (Ok(keep_hub), Ok(keep_client)) = (hub.try_clone(), client.try_clone()) else { return };
        self.lock().open.extend([keep_hub, keep_client]);
        let (up, down) = (Arc::clone(self), Arc::clone(self));
        thread::spawn(move || up.pass(client, hub, false));
        thread::spawn(move || down.pass(from_hub, to_client, true));
    }

    /// Passes what comes on, as the network is at that moment.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, is_answer: bool) {
        let mut passed = 0;
        let mut piece = [0; 16 << 10];
        while let Ok(size @ 1..) = from.read(&mut piece) {
            let mut bytes = &piece[..size];
            match self.link() {
                Link::Open => {}
                Link::Refused => break,
                Link::Silent => continue,
                Link::CutAfter(most) if is_answer => {
                    bytes = &bytes[..bytes.len().min(most - passed.min(most))];
                }
                Link::CutAfter(_) => {}
                Link::Slow(time) => self.wait(time),
            }
            passed += bytes.len();
            if to.write_all(bytes).is_err() || bytes.len() < size {
                break;
            }
        }
        let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    }

    fn link(&self) -> Link {
        self.lock().link
    }

    /// Waits, unless the network changes meanwhile.
    fn wait(&self, time: Duration) {
        let inner = self.lock();
        let link = inner.link;
        let still = |inner: &mut Inner| inner.link == link;
        drop(self.changed.wait_timeout_while(inner, time, still).unwrap_or_else(PoisonError::into_inner));
    }
}
