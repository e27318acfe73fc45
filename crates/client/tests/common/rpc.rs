//! GetDatabase and IssueSyncToken over HTTP/1.1, as far as one client needs them.

use std::sync::Mutex;

use buffa::Message as _;
use ferry_protocol::rpc::ferry::admin::v1::{Database, IssueSyncTokenRequest, IssueSyncTokenResponse};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{DATABASE, Looks, Pages};

/// Answers the requests of one connection.
pub(super) async fn serve(mut stream: TcpStream, image: &Mutex<Pages>, looks: &Mutex<Looks>) {
    let mut received = Vec::new();
    loop {
        let Some((head, body)) = request(&mut stream, &mut received).await else { return };
        let method = head.split_whitespace().nth(1).unwrap().rsplit('/').next().unwrap().to_owned();
        let answer = match method.as_str() {
            "GetDatabase" => look(image, looks).encode_to_vec(),
            "IssueSyncToken" => {
                let asked = IssueSyncTokenRequest::decode_from_slice(&body).unwrap();
                assert_eq!(asked.models, ["pages"], "no more rights than the transfer needs");
                let token = if asked.direction.to_i32() == 1 { "push" } else { "read" };
                let token = token.to_owned();
                IssueSyncTokenResponse { token, exp_unix: i64::MAX, ..Default::default() }.encode_to_vec()
            }
            other => panic!("{other} is not asked for by a push or pull"),
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/proto\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all(&[head.as_bytes(), &answer].concat()).await.unwrap();
    }
}

fn look(image: &Mutex<Pages>, looks: &Mutex<Looks>) -> Database {
    let (mut image, mut looks) = (image.lock().unwrap(), looks.lock().unwrap());
    looks.seen += 1;
    let seen = looks.seen;
    while let Some(at) = looks.pushes.iter().position(|(nth, _)| *nth == seen) {
        let (_, pages) = looks.pushes.remove(at);
        *image = Pages { version: image.version + 1, ..pages };
    }
    Database { id: DATABASE.into(), name: "notes".into(), seq: image.version, ..Default::default() }
}

/// The next request's head and body.
async fn request(stream: &mut TcpStream, received: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if received.len() >= end + 4 + length {
                let original = String::from_utf8_lossy(&received[..end]).into_owned();
                let body = received[end + 4..end + 4 + length].to_vec();
                received.drain(..end + 4 + length);
                return Some((original, body));
            }
        }
        let mut more = [0; 4096];
        match stream.read(&mut more).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => received.extend_from_slice(&more[..read]),
        }
    }
}
