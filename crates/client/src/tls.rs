//! TLS as both wires use it: rustls with ring, trusting the platform's roots, so that a hub behind a
//! company's own authority works as it does in a browser.

use std::sync::{Arc, LazyLock};

use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// The one configuration of the process; reading the platform's roots takes a while.
pub(crate) fn config() -> Arc<ClientConfig> {
    static CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate root of this machine cannot be read");
        }
        // Single bad certificates in a platform's store are common; the others serve.
        roots.add_parsable_certificates(found.certs);
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("BUG: ring supports the default protocol versions");
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    });
    Arc::clone(&CONFIG)
}

/// For plain HTTP, where the connector wants a configuration that nothing uses: without the platform's roots,
/// whose reading costs tens of milliseconds.
pub(crate) fn plain_only() -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("BUG: ring supports the default protocol versions");
    builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
}
