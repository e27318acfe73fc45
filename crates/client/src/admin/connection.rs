//! The HTTP client below RPC calls and those under `/v1`: plain or TLS by the server's scheme, HTTP/1.1 with kept connections.

use std::time::Duration;

use connectrpc::client::ClientBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use crate::{ServerUrl, tls};

/// Sends RPC requests.
pub(super) type HttpsClient = Client<HttpsConnector<HttpConnector>, ClientBody>;

/// How long one call may take, connecting included; the hub's own limit is the same.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn client<B>(server: &ServerUrl) -> Client<HttpsConnector<HttpConnector>, B>
where
    B: hyper::body::Body + Send,
    B::Data: Send,
{
    client_within(server, CONNECT_TIMEOUT)
}

/// The same with another limit of connecting.
pub(crate) fn client_within<B>(
    server: &ServerUrl,
    connect_timeout: Duration,
) -> Client<HttpsConnector<HttpConnector>, B>
where
    B: hyper::body::Body + Send,
    B::Data: Send,
{
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.set_nodelay(true);
    let tls = if server.is_secure() { (*tls::config()).clone() } else { tls::plain_only() };
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    Client::builder(TokioExecutor::new()).build(connector)
}
