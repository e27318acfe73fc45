//! The listener: accepts connections as long as the hub runs, whatever they do, and speaks TLS and HTTP with them.

use std::{
    convert::Infallible,
    fs::File,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use ferry_types::limits::{
    CONNECTION_HTTP2_WINDOW_BYTES, HEADERS_MAX_BYTES, IDLE_CONNECTION_MAX_MS, STREAM_HTTP2_WINDOW_BYTES,
};
use http::{Response, Version};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustix::io::Errno;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpSocket, TcpStream},
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service as _;

use crate::{
    config::{ConfigError, ListenerConfig},
    descriptors::Descriptors,
    http::{
        Admitted, ConnectionAdmission, ConnectionProgress, Handover, HeaderReadTimeout, InFlight, Lent,
        Takeover, TimedStream, TooMany, note_stalled,
    },
};

/// How long to wait for a descriptor when not even the spare one could be had.
const NO_DESCRIPTOR_PAUSE: Duration = Duration::from_millis(50);
/// What stands open only to be given up: a connection can be accepted, and closed, when no descriptor is left.
const SPARE: &str = "/dev/null";
/// Connections that wait to be accepted; the system allows fewer (`net.core.somaxconn`). After a restart all clients come at
/// once, and those that find no place are reset or try again after seconds.
const BACKLOG: u32 = 65_535;

/// The bound port, and what connections to it need.
pub(crate) struct HttpListener {
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    admission: Arc<ConnectionAdmission>,
    head_max: Duration,
    stall_max: Duration,
    spare: Mutex<Option<File>>,
}

impl HttpListener {
    /// Binds the configured address.
    ///
    /// # Errors
    /// When it cannot be had.
    pub(crate) fn bind(
        config: &ListenerConfig,
        descriptors: Descriptors,
        tls: Option<TlsAcceptor>,
    ) -> Result<Self, ConfigError> {
        let tcp = listen(config.listen).map_err(|error| {
            ConfigError(format!("listen {}: {error}; choose another with --listen", config.listen))
        })?;
        let max_per_ip = config.connections_per_ip(descriptors.sockets);
        if descriptors.sockets < config.max_connections {
            let (limit, sockets) = (descriptors.limit, descriptors.sockets);
            tracing::info!(
                limit,
                sockets,
                max_per_ip,
                "the limit of open files leaves room for fewer connections"
            );
        }
        let proxies = config.trusted_proxies.clone();
        Ok(Self {
            tcp,
            tls,
            admission: Arc::new(ConnectionAdmission::new(descriptors.sockets, max_per_ip, proxies)),
            head_max: Duration::from_millis(config.header_timeout_ms),
            stall_max: Duration::from_millis(config.stall_timeout_ms),
            spare: Mutex::new(File::open(SPARE).ok()),
        })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// When the socket has gone.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// `http` or `https`.
    pub(crate) const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Accepts for ever; the connections finish what they do once `stopping` is cancelled.
    pub(crate) async fn accept(
        &self,
        app: &Router,
        stopping: &CancellationToken,
        connections: &TaskTracker,
    ) -> Infallible {
        loop {
            match self.tcp.accept().await {
                Ok((stream, peer)) => match self.admission.admit(peer.ip()) {
                    Ok(admitted) => {
                        let connection = Connected {
                            stream,
                            peer,
                            admitted,
                            deadline: Instant::now() + self.head_max,
                            head_max: self.head_max,
                            stall_max: self.stall_max,
                        };
                        let (app, tls) = (app.clone(), self.tls.clone());
                        connections.spawn(connection.serve(app, tls, stopping.clone()));
                    }
                    Err(why) => self.admission.refused(why),
                },
                Err(error) if is_out_of_descriptors(&error) => self.refuse_waiting().await,
                // The peer went before it was accepted, most likely.
                Err(error) => tracing::debug!(%error, "accepting a connection failed"),
            }
        }
    }

    /// No descriptor is left: closes the connection that waits, in place of the spare file, so that its peer need not
    /// wait for one to become free.
    async fn refuse_waiting(&self) {
        self.admission.refused(TooMany::Descriptors);
        drop(self.spare().take());
        let closed = tokio::time::timeout(NO_DESCRIPTOR_PAUSE, self.tcp.accept()).await;
        let is_closed = matches!(closed, Ok(Ok(_)));
        drop(closed);
        let spare = File::open(SPARE).ok();
        let pause = spare.is_none() || !is_closed;
        *self.spare() = spare;
        if pause {
            tokio::time::sleep(NO_DESCRIPTOR_PAUSE).await;
        }
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Option<File>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A hub that starts again takes its port although connections of the last one linger.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// A connection that was just accepted.
struct Connected {
    stream: TcpStream,
    peer: SocketAddr,
    admitted: Admitted,
    /// Until when its first request must be here.
    deadline: Instant,
    head_max: Duration,
    /// How long an answer may wait of which the peer takes nothing.
    stall_max: Duration,
}

impl Connected {
    async fn serve(self, app: Router, tls: Option<TlsAcceptor>, stopping: CancellationToken) {
        let Self { stream, peer, admitted, deadline, head_max, stall_max } = self;
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let stream = TimedStream::new(stream, deadline, stall_max, admitted);
        let http = Http { peer, head_max, stall_max, progress: stream.progress() };
        let Some(tls) = tls else { return http.serve(stream, app, stopping).await };
        // Boxed, so that connections without TLS need not be as large.
        match Box::pin(tls.accept(stream)).await {
            Ok(stream) => Box::pin(http.serve(stream, app, stopping)).await,
            Err(error) => tracing::debug!(%error, %peer, "TLS handshake failed"),
        }
    }
}

/// HTTP over one stream.
struct Http {
    peer: SocketAddr,
    head_max: Duration,
    stall_max: Duration,
    progress: ConnectionProgress,
}

impl Http {
    async fn serve<S>(self, stream: S, app: Router, stopping: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (lent, stream, handover) = Lent::new(stream);
        // Boxed, since it is large and may be over long before the connection.
        if let Some(session) = Box::pin(self.speak(lent, handover, app, stopping)).await {
            session(stream).await;
        }
    }

    /// Speaks HTTP until the connection ends, or is taken over.
    async fn speak<S>(
        self,
        stream: Lent<S>,
        handover: Handover,
        app: Router,
        stopping: CancellationToken,
    ) -> Option<Takeover>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { peer, head_max, stall_max, progress } = self;
        let in_flight = InFlight::default();
        let (counted, offered) = (in_flight.clone(), handover.clone());
        let service = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            progress.asked();
            // HTTP/1.1 has a timer of its own, and one request at a time.
            let guard = (request.version() == Version::HTTP_2).then(|| counted.begin());
            if request.version() == Version::HTTP_11 {
                request.extensions_mut().insert(offered.clone());
            }
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(progress.clone());
            let mut app = app.clone();
            let answer = app.call(request.map(Body::new));
            async move {
                let answer: Response<Body> = answer.await?;
                Ok::<_, Infallible>(match guard {
                    Some(guard) => answer.map(|body| guard.until_sent(body)),
                    None => answer,
                })
            }
        });
        let header_read_timeout = HeaderReadTimeout::new(head_max);
        let stream = header_read_timeout.listen(stream);
        let builder = builder(header_read_timeout, head_max);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        tokio::pin!(connection);
        let served = tokio::select! {
            served = handover.after(connection.as_mut()) => served,
            () = stopping.cancelled() => {
                connection.as_mut().graceful_shutdown();
                handover.after(connection).await
            }
            () = in_flight.idle(Duration::from_millis(IDLE_CONNECTION_MAX_MS)) => {
                connection.as_mut().graceful_shutdown();
                tokio::time::timeout(head_max, handover.after(connection)).await.unwrap_or(Ok(Ok(())))
            }
            () = in_flight.stalled(stall_max) => {
                note_stalled();
                tracing::debug!(%peer, "the peer takes nothing of an answer");
                return None;
            }
        };
        match served {
            Err(session) => return Some(session),
            Ok(Err(error)) => tracing::debug!(%error, %peer, "connection ended early"),
            Ok(Ok(())) => {}
        }
        None
    }
}

fn builder(header_read_timeout: HeaderReadTimeout, head_max: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(header_read_timeout)
        // The envelope sets it.
        .auto_date_header(false)
        // Switches the timer on; how long it waits is the timer's own.
        .header_read_timeout(head_max)
        .max_buf_size(HEADERS_MAX_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_header_list_size(u32::try_from(HEADERS_MAX_BYTES).unwrap_or(u32::MAX))
        // What a peer may send before anybody reads it lies in memory.
        .initial_connection_window_size(CONNECTION_HTTP2_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_HTTP2_WINDOW_BYTES)
        .keep_alive_interval(Duration::from_secs(30));
    builder
}
