//! Sends what waits: four workers, each over a connection of its own, so that a mail that takes its time holds up none but
//! its worker's. Each claims one mail at a time: what it has not begun with is nobody's, and is not tried.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use ferry_control::{
    ClaimMail, Control, LookAtOutbox, MailBacklog, MailKind, MailRefused, MailSent, WaitingMail,
};
use ferry_types::Clock;
use lettre::message::Mailbox;
use tokio_util::sync::CancellationToken;

use super::{
    Link, MailServer, ServerRefusal, Templates,
    message::{id_of, message},
    server::MailConnection,
};

/// Workers.
const WORKERS: usize = 4;
/// How long it is looked for something to do at the latest; and how long a worker rests after a failure of `control.db`, or of
/// the server, which is not to be asked for every mail that waits.
const LOOK_MAX: Duration = Duration::from_secs(60);
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// What mails are made of, and where they go.
#[derive(Clone, Debug)]
pub struct Mailer {
    /// The server.
    pub server: MailServer,
    /// Who they are from.
    pub from: Mailbox,
    /// Where their links lead.
    pub link: Link,
    /// What they say.
    pub templates: Templates,
}

/// What a try to send a mail found out.
pub struct MailTrial {
    /// What the server answered.
    pub answer: String,
    /// Whether the connection was encrypted.
    pub is_encrypted: bool,
}

impl Mailer {
    /// Sends what waits, until `stopping`: then nothing more is claimed, and what a server is being told is told to its end.
    pub async fn follow(
        self: Arc<Self>,
        control: Arc<Control>,
        clock: Arc<dyn Clock>,
        stopping: CancellationToken,
    ) {
        let workers = (0..WORKERS).map(|_| self.work(&control, &*clock, &stopping));
        futures_util::future::join_all(workers).await;
    }

    async fn work(&self, control: &Control, clock: &dyn Clock, stopping: &CancellationToken) {
        // Kept from one mail to the next.
        let mut connection: Option<MailConnection> = None;
        while !stopping.is_cancelled() {
            let next = self.round(&mut connection, control, clock, stopping).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "what mails wait cannot be told");
                Next::Rest
            });
            if next != Next::Send
                && let Some(connection) = connection.take()
            {
                connection.close().await;
            }
            let woken = async {
                match next {
                    Next::Send => {}
                    Next::Rest => tokio::time::sleep(AFTER_FAILURE).await,
                    Next::Wait(pause) => tokio::select! {
                        () = control.mail_waits() => {}
                        () = tokio::time::sleep(pause) => {}
                    },
                }
            };
            stopping.run_until_cancelled(woken).await;
        }
        if let Some(connection) = connection {
            connection.close().await;
        }
    }

    /// Sends one of what is due.
    async fn round(
        &self,
        connection: &mut Option<MailConnection>,
        control: &Control,
        clock: &dyn Clock,
        stopping: &CancellationToken,
    ) -> ferry_types::Result<Next> {
        let due_in = note(LookAtOutbox.run(&control.db).await?, clock).due_in;
        if due_in != Some(Duration::ZERO) {
            return Ok(Next::Wait(due_in.unwrap_or(LOOK_MAX).min(LOOK_MAX)));
        }
        let Some(mail) = ClaimMail.run(&control.db).await? else { return Ok(Next::Send) };
        // There may be more.
        control.wake_mail();
        let outcome = self.send(connection, &mail, stopping).await;
        let is_down = matches!(outcome, Outcome::Refused(ServerRefusal::Server(_)));
        if let Err(error) = settle(control, &mail, outcome).await {
            tracing::warn!(mail = mail.id, %error, "that a mail was sent cannot be noted: it is sent again");
        }
        Ok(if is_down { Next::Rest } else { Next::Send })
    }

    async fn send(
        &self,
        connection: &mut Option<MailConnection>,
        mail: &WaitingMail,
        stopping: &CancellationToken,
    ) -> Outcome {
        let mut words = self.link.words(mail.kind, &mail.address, mail.code.as_deref().unwrap_or_default());
        words.extend(mail.words.clone());
        let (id, date) = (id_of(mail), date(mail.created_unix_ms));
        let written = self.templates.write(mail.kind, &words);
        let Some(message) = message(&self.from, (&mail.address, &id), date, written) else {
            return Outcome::NoAddress;
        };
        if connection.as_ref().is_none_or(|connection| !connection.is_usable()) {
            if let Some(used_up) = connection.take() {
                used_up.close().await;
            }
            // Nothing was said yet: it may be broken off.
            match stopping.run_until_cancelled(self.server.open()).await {
                Some(Ok(opened)) => *connection = Some(opened),
                Some(Err(refusal)) => return Outcome::Refused(refusal),
                None => return Outcome::BrokenOff,
            }
        }
        let Some(connection) = connection else { return Outcome::NoAddress };
        match connection.send(&message).await {
            Ok(_) => Outcome::Sent,
            Err(refusal) => Outcome::Refused(refusal),
        }
    }

    /// Sends a mail now that says that mail works, and nothing else; what the server answered.
    ///
    /// # Errors
    /// What went wrong; and an address that is none.
    pub async fn try_out(&self, address: &str, now_unix_ms: i64) -> Result<MailTrial, ServerRefusal> {
        let host = self.link.host();
        let written = super::WrittenMail {
            subject: format!("{host} sends mail"),
            plain: format!("This is what you asked {host} for: a mail that shows that it sends mail.\n"),
            html: None,
        };
        let id = format!("test.{now_unix_ms}");
        let Some(message) = message(&self.from, (address, &id), date(now_unix_ms), written) else {
            return Err(ServerRefusal::Never("no address that mail goes to".to_owned(), 0));
        };
        let mut connection = self.server.open().await?;
        let is_encrypted = connection.is_encrypted();
        let answer = connection.send(&message).await?;
        connection.close().await;
        Ok(MailTrial { answer, is_encrypted })
    }

    /// What a mail of the kind of this name would say, with words that stand for those of a real one.
    #[must_use]
    pub fn preview(templates: &Templates, link: &Link, kind: &str) -> Option<super::WrittenMail> {
        let kind = MailKind::named(kind)?;
        let mut words: BTreeMap<String, String> = link.words(kind, "ada@example.com", "CODE");
        let examples = [
            ("ip", "192.0.2.1"),
            ("inviter", "grace@example.com"),
            ("org", "Analytical Engines"),
            ("role", "member"),
            ("what", "The password"),
        ];
        words.extend(examples.map(|(name, word)| (name.to_owned(), word.to_owned())));
        Some(templates.write(kind, &words))
    }
}

/// What a worker does next.
#[derive(PartialEq, Eq)]
enum Next {
    /// Looks for another mail.
    Send,
    /// Waits so long, or until something is put into the outbox.
    Wait(Duration),
    /// Waits whatever comes.
    Rest,
}

/// How a try ended.
enum Outcome {
    Sent,
    Refused(ServerRefusal),
    /// The hub stops, and no server was told anything.
    BrokenOff,
    /// Nothing was tried: mail cannot go to such an address.
    NoAddress,
}

/// Notes how a try ended. What waits for its next time needs no note: it was made when the mail was claimed. What servers
/// answer to a mail may name its address: only of what they say of themselves the log has the text.
async fn settle(control: &Control, mail: &WaitingMail, outcome: Outcome) -> ferry_types::Result<()> {
    let (kind, id, tries) = (mail.kind.as_str(), mail.id, mail.tries);
    let failed = |reason: &'static str| {
        metrics::counter!("ferry_mail_failed_total", "reason" => reason).increment(1);
    };
    match outcome {
        Outcome::Sent => {
            MailSent { mail }.run(&control.db).await?;
            metrics::counter!("ferry_mail_sent_total", "kind" => kind).increment(1);
            tracing::debug!(mail = id, kind, tries, "a mail was sent");
            Ok(())
        }
        Outcome::Refused(ServerRefusal::Server(error)) => {
            failed("server");
            tracing::warn!(
                mail = id,
                kind,
                tries,
                error,
                "the mail server cannot be used; it is tried again"
            );
            Ok(())
        }
        Outcome::Refused(ServerRefusal::Later(answer)) => {
            failed("later");
            // Nothing but the status: what follows may name the address.
            let status = answer.get(..3).and_then(|status| status.parse::<u16>().ok());
            tracing::info!(
                mail = id,
                kind,
                tries,
                status,
                "the mail server does not take a mail now; it is tried again"
            );
            Ok(())
        }
        Outcome::Refused(ServerRefusal::Never(_, status)) => {
            failed("refused");
            tracing::warn!(mail = id, kind, tries, status, "the mail server refuses a mail; it is given up");
            MailRefused { mail, status: Some(status) }.run(&control.db).await
        }
        Outcome::BrokenOff => Ok(()),
        Outcome::NoAddress => {
            failed("address");
            tracing::warn!(mail = id, kind, "no mail goes to such an address; the mail is given up");
            MailRefused { mail, status: None }.run(&control.db).await
        }
    }
}

/// Shows what waits in the metrics.
fn note(state: MailBacklog, clock: &dyn Clock) -> MailBacklog {
    let oldest_ms = state.oldest_unix_ms.map_or(0, |oldest| clock.now().0.saturating_sub(oldest).max(0));
    metrics::gauge!("ferry_mail_waiting").set(state.waiting as f64);
    metrics::gauge!("ferry_mail_oldest_seconds").set(oldest_ms as f64 / 1000.0);
    state
}

fn date(unix_ms: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(unix_ms).unwrap_or(0))
}
