//! A connection over which a server says no more in a try than mail needs: what reads its answers keeps a line in memory
//! until it ends, and a server, or whoever stands before it, need not end one.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a server may say in a try, certificates included. Answers have some hundred bytes, and a try some ten of them.
const SAID_MAX: usize = 256 * 1024;

/// What a server may still say.
#[derive(Clone, Debug)]
pub(super) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    /// That of a try.
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicUsize::new(SAID_MAX)))
    }

    /// Another try begins.
    pub(super) fn renew(&self) {
        self.0.store(SAID_MAX, Ordering::Relaxed);
    }

    /// Counts what was said. It is read by one connection alone: nothing comes in between.
    fn spend(&self, bytes: usize) -> io::Result<()> {
        let left = self.0.load(Ordering::Relaxed).checked_sub(bytes);
        self.0.store(left.unwrap_or(0), Ordering::Relaxed);
        let too_much = || io::Error::other("the server says too much: more than 256 KiB for a mail");
        left.map(drop).ok_or_else(too_much)
    }
}

/// The connection, or TLS over it.
#[derive(Debug)]
pub(super) struct BoundedStream<S> {
    stream: S,
    peer: SocketAddr,
    allowance: Allowance,
}

impl<S> BoundedStream<S> {
    /// Over `stream`, which leads to `peer`.
    pub(super) const fn new(stream: S, peer: SocketAddr, allowance: Allowance) -> Self {
        Self { stream, peer, allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.allowance.spend(buffer.filled().len() - before))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S> AsyncTokioStream for BoundedStream<S>
where
    S: AsyncRead + AsyncWrite + std::fmt::Debug + Send + Sync + Unpin,
{
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    // Verifies: OPR-91
    #[tokio::test]
    async fn a_server_says_so_much_in_a_try_and_anew_in_the_next() {
        let (near, mut far) = tokio::io::duplex(SAID_MAX * 3);
        let allowance = Allowance::new();
        let peer = SocketAddr::from(([127, 0, 0, 1], 25));
        let mut stream = BoundedStream::new(near, peer, allowance.clone());
        let mut said = vec![0; SAID_MAX];
        for _ in 0..2 {
            far.write_all(&said).await.unwrap();
            stream.read_exact(&mut said).await.unwrap();
            allowance.renew();
        }
        far.write_all(&said).await.unwrap();
        far.write_all(b"x").await.unwrap();
        stream.read_exact(&mut said).await.unwrap();
        assert!(stream.read_u8().await.unwrap_err().to_string().contains("256 KiB"));
        // Nothing is left, however little comes.
        far.write_all(b"x").await.unwrap();
        assert!(stream.read_u8().await.is_err());
    }
}
