//! Mail (OPR-90 to OPR-94): what it says, and how it is sent. What causes mails and what waits is the control plane's.

mod bounded;
mod message;
mod sender;
mod server;
mod template;
mod templates;

pub use message::{Link, WrittenMail};
pub use sender::{MailTrial, Mailer};
pub use server::{MailServer, MailTls, ServerRefusal};
pub use templates::Templates;
