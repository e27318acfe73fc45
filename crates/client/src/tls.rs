//! TLS as both wires use it: rustls with ring, trusting the platform's roots, so that a hub behind a
//! company's own authority works as it does in a browser; or the authorities of one file alone.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use x509_cert::der::Decode as _;

use crate::{ClientError, Result};

/// The one configuration of the process; reading the platform's roots takes a while.
static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();

/// When the first certificate in a file of PEM certificates ends, Unix seconds.
///
/// # Errors
/// When the file cannot be read, or holds none.
pub fn certificate_file_ends(file: &Path) -> Result<i64> {
    let bad = |what: &dyn std::fmt::Display| ClientError::argument(format!("{}: {what}", file.display()));
    let text = std::fs::read(file).map_err(|error| bad(&error))?;
    let first =
        CertificateDer::pem_slice_iter(&text).next().ok_or_else(|| bad(&"it holds no certificate"))?;
    certificate_ends(&first.map_err(|error| bad(&error))?)
        .ok_or_else(|| bad(&"the certificate cannot be read"))
}

/// When a certificate ends, Unix seconds (RFC 5280, `notAfter`).
pub(crate) fn certificate_ends(certificate: &CertificateDer<'_>) -> Option<i64> {
    let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
    i64::try_from(parsed.tbs_certificate.validity.not_after.to_unix_duration().as_secs()).ok()
}

/// The file that [`trust_only`] was given.
static TRUSTED: OnceLock<PathBuf> = OnceLock::new();

/// Trusts the authorities in a file of PEM certificates, instead of the platform's. To be called before the first
/// connection: the choice is made once for a process.
///
/// # Errors
/// When the file cannot be read, holds no certificate, or a connection was made before.
pub fn trust_only(file: &Path) -> Result<()> {
    let bad = |what: &str| ClientError::argument(format!("{}: {what}", file.display()));
    let text = std::fs::read(file).map_err(|error| bad(&error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| bad(&format!("not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| bad(&format!("a certificate cannot be used: {error}")))?;
    }
    if roots.is_empty() {
        return Err(bad(
            "it holds no certificate; name a PEM file, which begins with -----BEGIN CERTIFICATE-----",
        ));
    }
    CONFIG.set(Arc::new(trusting(roots))).map_err(|_| bad("a connection was made before"))?;
    let _ = TRUSTED.set(file.to_owned());
    Ok(())
}

/// The file whose authorities alone are trusted, if that was chosen.
pub(crate) fn trusted_file() -> Option<&'static Path> {
    TRUSTED.get().map(PathBuf::as_path)
}

pub(crate) fn config() -> Arc<ClientConfig> {
    let config = CONFIG.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate root of this machine cannot be read");
        }
        // Single bad certificates in a platform's store are common; the others serve.
        roots.add_parsable_certificates(found.certs);
        Arc::new(trusting(roots))
    });
    Arc::clone(config)
}

/// For plain HTTP, where the connector wants a configuration that nothing uses: without the platform's roots,
/// whose reading costs tens of milliseconds.
pub(crate) fn plain_only() -> ClientConfig {
    trusting(RootCertStore::empty())
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("BUG: ring supports the default protocol versions");
    builder.with_root_certificates(roots).with_no_client_auth()
}
