//! HTTPS from PEM files, which may be renewed while the hub runs.

use std::{
    fmt::Display,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use ferry_types::limits::TLS_FILES_EVERY_MS;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::time::MissedTickBehavior;
use tokio_rustls::TlsAcceptor;

use crate::config::{ConfigError, TlsFiles};

/// The certificate that the hub shows; connections that began under an older one go on.
#[derive(Debug)]
pub struct Certificates {
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
    /// Why the files cannot be used, if that was told already.
    told: Mutex<Option<String>>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// When one cannot be read, holds no PEM, or the key does not fit the certificate.
    pub(crate) fn open(files: &TlsFiles) -> Result<Self, ConfigError> {
        let provider = Arc::new(ring::default_provider());
        let current = RwLock::new(Arc::new(read(files, &provider)?));
        Ok(Self { files: files.clone(), provider, current, told: Mutex::default() })
    }

    /// An acceptor that offers HTTP/2 and HTTP/1.1, and shows whatever certificate is current.
    pub(crate) fn acceptor(self: &Arc<Self>) -> TlsAcceptor {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .expect("BUG: ring supports the default protocol versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }

    /// Reads the files again. What cannot be used, as files that are being written, changes nothing.
    pub async fn read_again(self: &Arc<Self>) {
        let this = Arc::clone(self);
        // The files may lie where reading takes long.
        let _ = tokio::task::spawn_blocking(move || this.renew()).await;
    }

    /// Reads them again and again, since many who renew a certificate tell nobody.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut due = tokio::time::interval(Duration::from_millis(TLS_FILES_EVERY_MS));
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            self.read_again().await;
        }
    }

    fn renew(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match read(&self.files, &self.provider) {
            Ok(read) => {
                *told = None;
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                if current.cert != read.cert {
                    *current = Arc::new(read);
                    tracing::info!("new connections get the renewed certificate");
                }
            }
            Err(error) => {
                let why = Some(error.to_string());
                if *told != why {
                    tracing::warn!(%error, "the certificate cannot be renewed, the former one is shown on");
                    *told = why;
                }
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, ConfigError> {
    let wrong = |name: &str, path: &Path, error: &dyn Display| {
        ConfigError(format!("{name} {}: {error}", path.display()))
    };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect)
        .map_err(|error| wrong("tls_cert", &files.cert, &error))?;
    if chain.is_empty() {
        return Err(wrong("tls_cert", &files.cert, &"holds no certificate"));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong("tls_key", &files.key, &error))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| wrong("tls_key", &files.key, &error))
}
