//! HTTPS with a certificate that is renewed while the hub runs.

use std::{
    fs,
    io::{Read, Write},
    net::SocketAddr,
};

use ferry_testkit::{process, tls, wait};

use crate::support::options;

/// The certificate that a new connection is shown.
fn shown(address: SocketAddr) -> Vec<u8> {
    let stream = tls::connect(address);
    stream.conn.peer_certificates().expect("a certificate")[0].to_vec()
}

/// A ping, and its answer.
fn ping(socket: &mut (impl Read + Write)) {
    socket.write_all(&[0x89, 0x81, 0, 0, 0, 0, b'1']).unwrap();
    socket.flush().unwrap();
    let mut pong = [0; 3];
    socket.read_exact(&mut pong).unwrap();
    assert_eq!(pong, [0x8a, 1, b'1']);
}

// A renewed certificate was served after a restart only, and SIGHUP ended the hub.
#[test]
fn a_renewed_certificate_is_served_after_sighup_and_sockets_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let files = tls::Files::write(dir.path(), &tls::FIRST);
    let hub = options().tls(&files).start();
    assert_eq!(shown(hub.address()), tls::FIRST.der().to_vec());
    let mut socket = tls::connect(hub.address());
    let head = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    ping(&mut socket);

    let _ = tls::Files::write(dir.path(), &tls::SECOND);
    process::hang_up(hub.pid());
    wait::until("the renewed certificate", || {
        (shown(hub.address()) == tls::SECOND.der().to_vec()).then_some(())
    });
    ping(&mut socket);
}

// Renewal programs often signal nothing, and write one file after the other.
#[test]
fn a_renewed_certificate_is_loaded_and_an_incomplete_one_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let files = tls::Files::write(dir.path(), &tls::FIRST);
    let hub = options().tls(&files).start();
    let key = fs::read(&files.key).unwrap();
    let _ = tls::Files::write(dir.path(), &tls::SECOND);
    let renewed = fs::read(&files.key).unwrap();
    fs::write(&files.key, key).unwrap();
    process::hang_up(hub.pid());
    wait::until("a word about the key", || hub.log().contains("the former one is shown on").then_some(()));
    assert_eq!(shown(hub.address()), tls::FIRST.der().to_vec());
    fs::write(&files.key, renewed).unwrap();
    wait::until("the renewed certificate", || {
        (shown(hub.address()) == tls::SECOND.der().to_vec()).then_some(())
    });
}
