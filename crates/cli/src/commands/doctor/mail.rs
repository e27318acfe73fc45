//! The mail server: whether it can be reached, encrypts, and takes the login. Nothing is sent.

use ferry_hub::config::Config;

use super::{Findings, Level};

pub(super) async fn check(config: &Config, findings: &mut Findings) {
    let Some(mail) = &config.mail else { return };
    let server = &mail.mailer.server;
    match server.open().await {
        Ok(connection) => {
            let how = if connection.is_encrypted() { "encrypted" } else { "not encrypted, on this machine" };
            let login = if server.login.is_some() { "and takes the login" } else { "and asks for no login" };
            connection.close().await;
            findings.add(Level::Ok, "mail server", format!("{} answers, {how}, {login}", server.address()));
        }
        Err(refusal) => {
            let advice = "mails wait for a day meanwhile: see mail.host, mail.port, mail.tls, mail.user and mail.password";
            findings.add(Level::Fail, "mail server", format!("{refusal}; {advice}"));
        }
    }
}
