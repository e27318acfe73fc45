//! The mail server: a connection with TLS and a login, and mails over it. Everything has ten seconds, and is answered in
//! few words.

use std::{fmt, sync::Arc, time::Duration};

use lettre::{
    Message,
    transport::smtp::{
        Error as SmtpError,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, AsyncTokioStream, TlsParameters},
        extension::ClientId,
    },
};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::bounded::{Allowance, BoundedStream};

/// How long a try may take (OPR-91).
const TRY_MAX: Duration = Duration::from_secs(10);
/// Mails over one connection: some servers take no more than so many.
const MAILS_MAX: u32 = 50;
/// How long the farewell may take: nothing depends on it.
const QUIT_MAX: Duration = Duration::from_secs(1);

/// How the connection is kept from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailTls {
    /// It begins in the clear, and nothing is said before STARTTLS.
    StartTls,
    /// TLS from the first byte.
    Tls,
    /// Not at all: only to this machine.
    None,
}

/// Where mails go.
#[derive(Clone)]
pub struct MailServer {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// How the connection is kept from others.
    pub tls: MailTls,
    /// User and password, if it wants them.
    pub login: Option<(String, String)>,
    /// How the hub names itself.
    pub hello: String,
}

/// The password is not shown.
impl fmt::Debug for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailServer")
            .field("host", &self.host)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// What went wrong, and whose fault it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerRefusal {
    /// No connection, no TLS, no login, or a server that says nothing: no mail can be sent now. The text is for the operator.
    Server(String),
    /// The server takes this mail not now.
    Later(String),
    /// The server will never take this mail: what it answered, and its status.
    Never(String, u16),
}

impl fmt::Display for ServerRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(text) | Self::Later(text) | Self::Never(text, _) => f.write_str(text),
        }
    }
}

impl MailServer {
    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// A connection over which mails may be sent, and how its server greets.
    ///
    /// # Errors
    /// [`ServerRefusal::Server`].
    pub async fn open(&self) -> Result<MailConnection, ServerRefusal> {
        let allowance = Allowance::new();
        match tokio::time::timeout(TRY_MAX, self.connect(&allowance)).await {
            Ok(Ok(connection)) => Ok(MailConnection {
                is_encrypted: self.tls == MailTls::Tls || connection.is_encrypted(),
                connection,
                allowance,
                sent: 0,
            }),
            Ok(Err(Failed { step, error })) => {
                Err(ServerRefusal::Server(format!("{}: {step}: {error}", self.address())))
            }
            Err(_) => Err(ServerRefusal::Server(format!("{}: no answer within 10 s", self.address()))),
        }
    }

    async fn connect(&self, allowance: &Allowance) -> Result<AsyncSmtpConnection, Failed> {
        let hello = ClientId::Domain(self.hello.clone());
        let stream = self.stream(allowance).await?;
        let mut connection = AsyncSmtpConnection::connect_with_transport(stream, &hello)
            .await
            .map_err(|error| failed("connecting", told(&error)))?;
        if self.tls == MailTls::StartTls {
            // Reads the system's roots.
            let host = self.host.clone();
            let made = tokio::task::spawn_blocking(move || TlsParameters::new(host)).await;
            let tls = made.expect("BUG: reading certificates panicked");
            let tls = tls.map_err(|error| failed("TLS", told(&error)))?;
            connection.starttls(tls, &hello).await.map_err(|error| failed("STARTTLS", told(&error)))?;
        }
        if let Some((user, password)) = &self.login {
            let credentials = Credentials::new(user.clone(), password.clone());
            let login = connection.auth(DEFAULT_MECHANISMS, &credentials).await;
            login.map_err(|error| failed("AUTH", told(&error)))?;
        }
        Ok(connection)
    }

    /// What is spoken over: TLS already, if all is to be encrypted from the first byte.
    async fn stream(&self, allowance: &Allowance) -> Result<Box<dyn AsyncTokioStream>, Failed> {
        let connecting = |error: std::io::Error| failed("connecting", error);
        let tcp = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(connecting)?;
        let peer = tcp.peer_addr().map_err(connecting)?;
        if self.tls != MailTls::Tls {
            return Ok(Box::new(BoundedStream::new(tcp, peer, allowance.clone())));
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|error| failed("TLS", error))?;
        // As above.
        let config = tokio::task::spawn_blocking(ferry_http_client::tls_config).await;
        let config = Arc::new(config.expect("BUG: reading certificates panicked"));
        let tls =
            TlsConnector::from(config).connect(name, tcp).await.map_err(|error| failed("TLS", error))?;
        Ok(Box::new(BoundedStream::new(tls, peer, allowance.clone())))
    }
}

/// At which step it failed to connect, and why.
struct Failed {
    step: &'static str,
    error: String,
}

fn failed(step: &'static str, error: impl fmt::Display) -> Failed {
    Failed { step, error: error.to_string() }
}

/// A connection to the server, logged in.
pub struct MailConnection {
    connection: AsyncSmtpConnection,
    /// Whether all that is said now is encrypted.
    is_encrypted: bool,
    /// What the server may say.
    allowance: Allowance,
    /// Mails that were sent over it.
    sent: u32,
}

impl MailConnection {
    /// Sends a mail; what the server answers.
    ///
    /// # Errors
    /// What the server refuses, or that it cannot be reached any more.
    pub async fn send(&mut self, message: &Message) -> Result<String, ServerRefusal> {
        let bytes = message.formatted();
        self.sent += 1;
        self.allowance.renew();
        match tokio::time::timeout(TRY_MAX, self.connection.send(message.envelope(), &bytes)).await {
            Ok(Ok(answer)) => {
                Ok(format!("{} {}", answer.code(), answer.message().collect::<Vec<_>>().join(" ")))
            }
            Ok(Err(error)) => Err(judged(&error)),
            Err(_) => Err(ServerRefusal::Server("no answer within 10 s".to_owned())),
        }
    }

    /// Whether another mail may be sent over it: a refusal closes it, and it takes no more than so many.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.sent < MAILS_MAX && !self.connection.has_broken()
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// Says goodbye.
    pub async fn close(mut self) {
        if !self.connection.has_broken() {
            let _ = tokio::time::timeout(QUIT_MAX, self.connection.quit()).await;
        }
    }
}

/// Whose fault it is that a mail was not taken. What a server says then may name whom the mail is for: of that, what is told of
/// the server has the status alone, since it comes into the log.
fn judged(error: &SmtpError) -> ServerRefusal {
    let text = told(error);
    // That a login is asked for, or not good any more, says nothing of the mail (RFC 4954, section 6).
    const OF_LOGIN: [u16; 4] = [530, 534, 535, 538];
    match error.status().map(u16::from) {
        Some(status) if error.is_permanent() && !OF_LOGIN.contains(&status) => {
            ServerRefusal::Never(text, status)
        }
        Some(421) => ServerRefusal::Server("421: the server takes no mails now".to_owned()),
        Some(status) if OF_LOGIN.contains(&status) => {
            ServerRefusal::Server(format!("{status}: the server wants a login, or another"))
        }
        Some(_) => ServerRefusal::Later(text),
        // An address that this server cannot take, which another might.
        None if error.is_client() => ServerRefusal::Later(text),
        None if error.is_response() => ServerRefusal::Server("an answer that is none".to_owned()),
        None => ServerRefusal::Server(text),
    }
}

/// An error on one line, without the words of the library around it.
fn told(error: &SmtpError) -> String {
    let text = error.to_string();
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    match error.status() {
        Some(status) => match text.split_once("): ") {
            Some((_, answer)) => format!("{status} {answer}"),
            None => status.to_string(),
        },
        // That this is the client's own judgement is nothing that whoever reads it need know.
        None => text.strip_prefix("internal client error: ").unwrap_or(&text).to_owned(),
    }
}
