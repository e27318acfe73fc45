//! Certificates for `localhost` and 127.0.0.1, and the authorities of the tests that signed them; made with openssl on
//! P-256, good from 2020 to 2120.

use std::{
    io::{self, BufReader, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::http;

/// The authority, PEM. No client trusts it by default.
pub const AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBXzCCAQWgAwIBAgIBATAKBggqhkjOPQQDAjAWMRQwEgYDVQQDDAtGZXJyeSB0
ZXN0czAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowFjEUMBIGA1UE
AwwLRmVycnkgdGVzdHMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASj6Fhw0FnX
VHr/99bX9IOCHhW1pj9260wlyOsezeQWcyvB1xFTfAD/ks0Dp4Q/fk7q8bhq+Gw5
zibnGWxS6KIEo0IwQDAPBgNVHRMBAf8EBTADAQH/MA4GA1UdDwEB/wQEAwICBDAd
BgNVHQ4EFgQU5PEuzOvzr4tPFlN+dr8RuHv+CgUwCgYIKoZIzj0EAwIDSAAwRQIh
AO5Jp20TmfoHR84BVBPMh0lI2z2Wb5ttPKqMTKCzNTpGAiAjtw/MKhlpdiRWtQiv
lBnM6p4f7N20pAZBlhTtuMaDsw==
-----END CERTIFICATE-----
";

/// Another authority of the same name, PEM, which signed nothing.
pub const NAMESAKE: &str = "\
-----BEGIN CERTIFICATE-----
MIIBcTCCARagAwIBAgIBAzAKBggqhkjOPQQDAjAWMRQwEgYDVQQDDAtGZXJyeSB0
ZXN0czAgFw0yNjExMjkxMDQ4NDNaGA8yMTI2MTEwNTEwNDg0M1owFjEUMBIGA1UE
AwwLRmVycnkgdGVzdHMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQLZOM6wazp
nfMG1u6b0v3va6sX84vsVhb9AR1Xwn0XcBNhtWIH+jn46YuefVkgwkO+rS0jmO00
8gq3zjE6OhgEo1MwUTAdBgNVHQ4EFgQUg4Nbo86yojd/hKDhBYstpKgBwfYwHwYD
VR0jBBgwFoAUg4Nbo86yojd/hKDhBYstpKgBwfYwDwYDVR0TAQH/BAUwAwEB/zAK
BggqhkjOPQQDAgNJADBGAiEA7LQtBE103ecKvVVzv2usZYHyvwi4NhLQ5e2SIrSe
3kwCIQDwxDslU4phEgc4bCPRg2vLfg5m5ocjujr0d6DMStUDPg==
-----END CERTIFICATE-----
";

const CERTIFICATE: &[u8] = b"\
-----BEGIN CERTIFICATE-----
MIIBnTCCAUOgAwIBAgIBAjAKBggqhkjOPQQDAjAWMRQwEgYDVQQDDAtGZXJyeSB0
ZXN0czAgFw0yMDAxMDEwMDAwMDBaGA8yMTIwMDEwMTAwMDAwMFowFDESMBAGA1UE
AwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9LzQN8+SBiow
+o0DO4Ifwqv1vIFrnE32UHRQH0QN8QsrqXRT3w8Eb+AO11yIh2V3AMTTM3G5TtWW
xELidy29SqOBgTB/MBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAMBgNVHRMB
Af8EAjAAMBMGA1UdJQQMMAoGCCsGAQUFBwMBMB0GA1UdDgQWBBTf1/jq13Kus9i3
i3nfS24nuJ9anjAfBgNVHSMEGDAWgBTk8S7M6/Ovi08WU352vxG4e/4KBTAKBggq
hkjOPQQDAgNIADBFAiAu0vbyaUPYwqfbfm4tmREkQD11tkOQc5WQ7471YZKyNwIh
AKseuLOvR7ZHzXVpVUnK8LhAWaobQqWzoNBqXIWV0ZrX
-----END CERTIFICATE-----
";

const KEY: &[u8] = b"\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgALKN8Zpa6fvFwt6r
IyFycKAy5mCkI2211z1F3Jl7YBehRANCAAT0vNA3z5IGKjD6jQM7gh/Cq/W8gWuc
TfZQdFAfRA3xCyupdFPfDwRv4A7XXIiHZXcAxNMzcblO1ZbEQuJ3Lb1K
-----END PRIVATE KEY-----
";

const SECOND_AUTHORITY: &str = "\
-----BEGIN CERTIFICATE-----
MIIBYzCCAQmgAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1GZXJyeSB0
ZXN0cyAyMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1GZXJyeSB0ZXN0cyAyMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKc22
YhrcivObP1fOe2GFHbfBKA78lbkAMo+f7EYImPhkfjXXptUlYp9zMkiZOUNZp6Gs
G4LhtE1Ro+fBhOtk4aNCMEAwDwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMC
AgQwHQYDVR0OBBYEFHAdJhVTuHDVuPzU+1z1X9kUY5DLMAoGCCqGSM49BAMCA0gA
MEUCIQC9cL0pMpgHLUxPFUlquOhrSFh7Ac9DeYfnEFEqwpKs7wIgU+n+ZgBwTI6/
5e4fEWMx9LMRT622Wz+nCjRlZ9aiUko=
-----END CERTIFICATE-----
";

const SECOND_CERTIFICATE: &[u8] = b"\
-----BEGIN CERTIFICATE-----
MIIBnzCCAUWgAwIBAgIBAjAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1GZXJyeSB0
ZXN0cyAyMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAUMRIwEAYD
VQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASzjMGBQiiJ
l06usi7x4irb0lrWcDXUqio1J0OcGV2Xo1Lxr+IfM8qIYzEvr1t8VsYry2i73jJQ
5D0AvGlnjW02o4GBMH8wGgYDVR0RBBMwEYIJbG9jYWxob3N0hwR/AAABMAwGA1Ud
EwEB/wQCMAAwEwYDVR0lBAwwCgYIKwYBBQUHAwEwHQYDVR0OBBYEFOWiUp8OJtqe
9fBOP4VXuZlaG5h/MB8GA1UdIwQYMBaAFHAdJhVTuHDVuPzU+1z1X9kUY5DLMAoG
CCqGSM49BAMCA0gAMEUCIQD+VcANeJWeKUauOP440yQR4NSwcyPl0UvUAVPgqxe3
1gIgJ/n+WLoJFRD9Uerke7u6mgK8hchOV2PBohBRAMgAcyM=
-----END CERTIFICATE-----
";

const SECOND_KEY: &[u8] = b"\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjdnYW+ScSobroy2X
v56EHgmntvYIuPC5n96SMckH2rehRANCAASzjMGBQiiJl06usi7x4irb0lrWcDXU
qio1J0OcGV2Xo1Lxr+IfM8qIYzEvr1t8VsYry2i73jJQ5D0AvGlnjW02
-----END PRIVATE KEY-----
";

/// A certificate and its key, PEM.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    certificate: &'static [u8],
    key: &'static [u8],
}

/// The one that [`AUTHORITY`] signed.
pub const FIRST: Identity = Identity { certificate: CERTIFICATE, key: KEY };
/// Another, of another authority: what a renewal brings.
pub const SECOND: Identity = Identity { certificate: SECOND_CERTIFICATE, key: SECOND_KEY };

impl Identity {
    /// The certificate as it travels.
    ///
    /// # Panics
    /// Never: it is one.
    #[must_use]
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate).expect("BUG: a certificate")
    }
}

/// Files of a hub that serves HTTPS.
#[derive(Clone, Debug)]
pub struct Files {
    /// For `--tls-cert`.
    pub cert: PathBuf,
    /// For `--tls-key`.
    pub key: PathBuf,
}

impl Files {
    /// Writes `identity` into `folder`, over what stands there.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn write(folder: &Path, identity: &Identity) -> Self {
        let files = Self { cert: folder.join("cert.pem"), key: folder.join("key.pem") };
        std::fs::write(&files.cert, identity.certificate).expect("the folder is writable");
        std::fs::write(&files.key, identity.key).expect("the folder is writable");
        files
    }
}

/// A connection over TLS whose handshake is done; it trusts both authorities.
///
/// # Errors
/// When the hub cannot be reached, or shows nothing that can be trusted.
///
/// # Panics
/// Never: the authorities are certificates.
pub fn try_connect(address: SocketAddr) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    for authority in [AUTHORITY, SECOND_AUTHORITY] {
        let der = CertificateDer::from_pem_slice(authority.as_bytes()).expect("BUG: a certificate");
        roots.add(der).expect("BUG: an authority");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("BUG: ring supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().expect("BUG: a name");
    let mut client = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = http::connect(address)?;
    while client.is_handshaking() {
        client.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(client, stream))
}

/// The same at a hub that must be there.
///
/// # Panics
/// When the handshake fails.
#[must_use]
pub fn connect(address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
    try_connect(address).expect("the hub speaks TLS")
}

/// `GET path` over TLS.
///
/// # Errors
/// When the connection fails or the answer is no HTTP.
pub fn get(address: SocketAddr, path: &str) -> io::Result<http::Response> {
    let mut stream = try_connect(address)?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    http::read_response(&mut BufReader::new(stream), false)
}

/// A server that shows the certificate.
///
/// # Panics
/// Never: the certificate is one.
#[must_use]
pub fn server() -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).expect("BUG: a certificate");
    let key = PrivateKeyDer::from_pem_slice(KEY).expect("BUG: a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("BUG: ring supports the default protocol versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("BUG: the key fits the certificate");
    Arc::new(config)
}
