//! Against a server on loopback that misbehaves in every way a URL can lead to.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

const BOUNDS: Bounds = Bounds { timeout: Duration::from_secs(20), max_bytes: 1000 };

/// A server that answers every connection with `answer` and then closes, or stays silent if it is empty.
async fn server(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if answer.is_empty() {
                silent.push(stream);
                continue;
            }
            tokio::spawn(async move {
                let mut head = [0; 1024];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

async fn ask(url: &str, reach: Reach, bounds: Bounds) -> Result<Response<Bytes>, HttpClientError> {
    let request = Request::get(RemoteUrl::any(url).unwrap().uri()).body(Bytes::new()).unwrap();
    HttpClient::default().send(request, reach, bounds).await
}

async fn answer_to(answer: &'static str) -> Result<Response<Bytes>, HttpClientError> {
    let address = server(answer).await;
    ask(&format!("http://{address}/keys"), Reach::Anywhere, BOUNDS).await
}

#[tokio::test]
async fn an_answer_comes_whole() {
    let answer =
        answer_to("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=70\r\n\r\nhello").await;
    let answer = answer.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"hello"[..]));
    assert_eq!(answer.headers()["cache-control"], "max-age=70");
}

// Verifies: JWT-07
#[tokio::test]
async fn redirects_are_answers_like_others() {
    let answer =
        answer_to("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(answer.unwrap().status(), 302);
}

// Verifies: JWT-07
#[tokio::test]
async fn what_is_too_large_broken_or_silent_is_refused() {
    let outcome = answer_to("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n").await;
    assert!(matches!(outcome, Err(HttpClientError::TooLarge(1000))), "{outcome:?}");
    let long: &'static str =
        Box::leak(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1001)).into_boxed_str());
    let untold = answer_to(long).await;
    assert!(matches!(untold, Err(HttpClientError::TooLarge(1000))), "{untold:?}");
    let cut = answer_to("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").await;
    assert!(matches!(cut, Err(HttpClientError::Broken(_))), "{cut:?}");
    let junk = answer_to("SSH-2.0-OpenSSH\r\n").await;
    assert!(matches!(junk, Err(HttpClientError::Broken(_))), "{junk:?}");
    let silent = server("").await;
    let bounds = Bounds { timeout: Duration::from_millis(50), ..BOUNDS };
    let silent = ask(&format!("http://{silent}/"), Reach::Anywhere, bounds).await;
    assert!(matches!(silent, Err(HttpClientError::TimedOut(_))), "{silent:?}");
}

// Verifies: JWT-07
#[tokio::test]
async fn what_users_name_never_reaches_this_machine() {
    let address = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let port = address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "127.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
    ] {
        let plain = ask(&format!("http://{host}:{port}/"), Reach::PublicOnly, BOUNDS).await;
        assert!(matches!(plain, Err(HttpClientError::Forbidden)), "{host}: {plain:?}");
        // Some spellings are no names that a certificate could carry and fail even earlier.
        assert!(ask(&format!("https://{host}:{port}/"), Reach::PublicOnly, BOUNDS).await.is_err(), "{host}");
    }
    assert!(ask(&format!("http://localhost:{port}/"), Reach::Anywhere, BOUNDS).await.is_ok());
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let address = server("HTTP/1.1 200 OK\r\n\r\n").await;
    let outcome = ask(&format!("https://{address}/"), Reach::Anywhere, BOUNDS).await;
    assert!(matches!(outcome, Err(HttpClientError::Broken(_))), "{outcome:?}");
}
