//! A certificate for `localhost` and 127.0.0.1, and the authority of the tests that signed it. Both are good from 2020 to
//! 2120; made with `openssl ca` on P-256.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// The authority, PEM. Nobody trusts it who is not told to.
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
