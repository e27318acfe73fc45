//! Waiting on 127.0.0.1 for the browser that comes back from a provider. Browsers open connections ahead of need, so
//! each is answered on its own.

use std::{sync::Arc, time::Duration};

use ferry_auth::oauth::callback::Callback;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::failure::Failure;

/// How long a person may take at the provider.
const LOGIN_MAX: Duration = Duration::from_secs(600);
/// How long a browser may take to send one request.
const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Longest request line.
const LINE_MAX_BYTES: u64 = 8 << 10;

const DONE: &str = "You are back: the rest happens in your terminal. You can close this window.";
const FOREIGN: &str = "This is not the login that your terminal waits for.";

/// The place where the browser is waited for.
pub(super) struct Waiting(TcpListener);

impl Waiting {
    /// A free port of this machine, closed to others.
    pub(super) async fn new() -> Result<Self, Failure> {
        let bound = TcpListener::bind("127.0.0.1:0").await;
        bound.map(Self).map_err(|error| {
            Failure::other(format!("cannot wait for the browser on 127.0.0.1: {error}; use --no-browser"))
        })
    }

    pub(super) fn port(&self) -> Result<u16, Failure> {
        Ok(self.0.local_addr()?.port())
    }

    /// The code that the browser brings for `state`. What carries another state is told so and changes nothing.
    pub(super) async fn code(self, state: &str) -> Result<String, Failure> {
        let (send, mut receive) = mpsc::channel(1);
        let state: Arc<str> = state.into();
        let accept = async {
            loop {
                // A connection that fails before it is one is no browser.
                let Ok((stream, _)) = self.0.accept().await else { continue };
                let (state, send) = (Arc::clone(&state), send.clone());
                tokio::spawn(async move {
                    if let Ok(Ok(Some(code))) = tokio::time::timeout(REQUEST_MAX, serve(stream, &state)).await
                    {
                        // A second browser with the same code comes too late.
                        let _ = send.try_send(code);
                    }
                });
            }
        };
        tokio::select! {
            Some(code) = receive.recv() => Ok(code),
            () = tokio::time::sleep(LOGIN_MAX) => {
                Err(Failure::other("no browser came back within 10 minutes: start again".to_owned()))
            }
            () = accept => Err(Failure::other("BUG: accepting ended".to_owned())),
        }
    }
}

/// Answers one request; gives the code if it brought the right state.
async fn serve(mut stream: TcpStream, state: &str) -> std::io::Result<Option<String>> {
    let (reader, mut writer) = stream.split();
    let mut line = String::new();
    BufReader::new(reader.take(LINE_MAX_BYTES)).read_line(&mut line).await?;
    let target = line.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
    let callback = target.strip_prefix("/callback?").and_then(|query| Callback::read(query).ok());
    let code = callback.filter(|callback| callback.state == state).map(|callback| callback.code);
    let (status, text) = if code.is_some() { ("200 OK", DONE) } else { ("400 Bad Request", FOREIGN) };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    writer.write_all(answer.as_bytes()).await?;
    writer.shutdown().await?;
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn visit(port: u16, target: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    // Verifies: CLI-07
    #[tokio::test]
    async fn only_the_matching_state_is_accepted() {
        let waiting = Waiting::new().await.unwrap();
        let port = waiting.port().unwrap();
        let idle = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let code = tokio::spawn(async move { waiting.code("s1").await });
        for foreign in
            ["/callback?state=s2&code=evil", "/callback?code=evil", "/", "/callback?state=s1&code=$(id)"]
        {
            assert!(visit(port, foreign).await.starts_with("HTTP/1.1 400"), "{foreign}");
        }
        let answer = visit(port, "/callback?state=s1&code=c%2B1").await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("close this window"), "{answer}");
        assert_eq!(code.await.unwrap().ok().as_deref(), Some("c+1"));
        drop(idle);
    }
}
