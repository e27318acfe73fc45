//! A mail server that keeps what it is sent, with switches for what real ones do wrong (RFC 5321).

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{ServerConnection, StreamOwned};

use crate::{tls, wait};

/// The user that may log in.
pub const USER: &str = "ferry";
/// Its password.
pub const PASSWORD: &str = "s3cret-of-the-mail-server";

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Good,
    /// As it should, this long before each answer.
    Slow(Duration),
    /// No recipient now: 451.
    Later,
    /// No recipient now, since it ends: 421.
    Leaving,
    /// No recipient ever: 550.
    Refusing,
    /// No login: 535.
    NoLogin,
    /// It cannot encrypt.
    NoStartTls,
    /// It ends in the middle of a mail.
    Cut,
    /// It takes a mail and ends before it says so.
    CutAfterData,
    /// It never says a word.
    Silent,
    /// It begins to greet, and never ends the line.
    Endless,
    /// The same of its first answer to a connection that was in the clear before.
    EndlessOnceEncrypted,
}

/// A mail as it came.
#[derive(Clone, Debug)]
pub struct Mail {
    /// The sender of the envelope.
    pub from: String,
    /// The recipients of the envelope.
    pub to: Vec<String>,
    /// Headers and bodies.
    pub data: String,
    /// Whether it came over TLS.
    pub is_encrypted: bool,
    /// Who logged in.
    pub user: Option<String>,
}

impl Mail {
    /// The value of a header, unfolded.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.data.split_once("\r\n\r\n").map_or(self.data.as_str(), |(head, _)| head);
        let head = head.replace("\r\n ", " ").replace("\r\n\t", " ");
        let found = head.lines().filter_map(|line| line.split_once(':'));
        let mut found = found.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim().to_owned())
    }

    /// The bodies, their transfer encoding undone.
    #[must_use]
    pub fn text(&self) -> String {
        // Of quoted-printable: soft line ends, and bytes as `=XX`.
        let joined = self.data.replace("=\r\n", "").into_bytes();
        let (mut bytes, mut at) = (Vec::new(), 0);
        while at < joined.len() {
            let hex = joined.get(at + 1..at + 3).filter(|_| joined[at] == b'=');
            let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
            bytes.push(byte.unwrap_or(joined[at]));
            at += if byte.is_some() { 3 } else { 1 };
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What stands behind `#` in its first link to `page`.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn code(&self, page: &str) -> String {
        let (text, mark) = (self.text(), format!("/_/{page}#"));
        let at = text.find(&mark).unwrap_or_else(|| panic!("no link to {page} in {text}")) + mark.len();
        text[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect()
    }
}

struct State {
    manner: Manner,
    mails: Vec<Mail>,
    connections: usize,
    /// Recipients that were named, also of mails that were refused.
    asked: Vec<String>,
}

/// The server. It runs until the process ends.
#[derive(Clone)]
pub struct MailDouble {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl MailDouble {
    /// On a port of its own, on every address of this machine.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start(manner: Manner) -> Self {
        Self::listen(manner, false)
    }

    /// The same, encrypted from the first byte.
    ///
    /// # Panics
    /// If no port is free.
    #[must_use]
    pub fn start_encrypted(manner: Manner) -> Self {
        Self::listen(manner, true)
    }

    fn listen(manner: Manner, is_encrypted: bool) -> Self {
        let listener = TcpListener::bind("0.0.0.0:0").expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = State { manner, mails: Vec::new(), connections: 0, asked: Vec::new() };
        let double = Self { address, state: Arc::new(Mutex::new(state)) };
        let served = double.clone();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let served = served.clone();
                // A client that breaks off has its reasons.
                thread::spawn(move || drop(served.serve(stream, is_encrypted)));
            }
        });
        double
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on it behaves so.
    pub fn behave(&self, manner: Manner) {
        self.state().manner = manner;
    }

    /// What it was sent so far.
    #[must_use]
    pub fn mails(&self) -> Vec<Mail> {
        self.state().mails.clone()
    }

    /// How often somebody connected.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state().connections
    }

    /// Whom it was to deliver to, whether it took the mail or not.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    /// The first mail to `address` whose text has `part`; waits for it.
    ///
    /// # Panics
    /// If none comes.
    #[allow(clippy::must_use_candidate, reason = "that it came is often all that is asked")]
    pub fn wait_for(&self, address: &str, part: &str) -> Mail {
        wait::until(&format!("a mail to {address} with {part}"), || {
            let is_it = |mail: &&Mail| mail.to == [address] && mail.text().contains(part);
            self.state().mails.iter().find(is_it).cloned()
        })
    }

    fn serve(&self, stream: TcpStream, is_encrypted: bool) -> io::Result<()> {
        self.state().connections += 1;
        if self.state().manner == Manner::Silent {
            // Ends when the client closes.
            io::copy(&mut &stream, &mut io::sink())?;
            return Ok(());
        }
        if is_encrypted {
            return self.greet(&mut encrypted(stream)?, true).map(drop);
        }
        let mut plain = BufReader::new(stream);
        if self.greet(&mut plain, false)? == Next::Encrypt {
            let mut encrypted = encrypted(plain.into_inner())?;
            self.talk(&mut encrypted, &mut Talk { is_encrypted: true, ..Talk::default() })?;
        }
        Ok(())
    }

    fn greet<S: Read + Write>(&self, stream: &mut BufReader<S>, is_encrypted: bool) -> io::Result<Next> {
        if self.state().manner == Manner::Endless {
            return endless(stream.get_mut());
        }
        self.say(stream.get_mut(), "220 double ESMTP")?;
        self.talk(stream, &mut Talk { is_encrypted, ..Talk::default() })
    }

    fn say(&self, stream: &mut impl Write, line: &str) -> io::Result<()> {
        if let Manner::Slow(pause) = self.state().manner {
            // Nobody writes into it: it is over with its time.
            let (_kept, over) = mpsc::channel::<()>();
            let _ = over.recv_timeout(pause);
        }
        stream.write_all(format!("{line}\r\n").as_bytes())?;
        stream.flush()
    }

    fn talk<S: Read + Write>(&self, stream: &mut BufReader<S>, talk: &mut Talk) -> io::Result<Next> {
        let mut line = String::new();
        loop {
            line.clear();
            if stream.read_line(&mut line)? == 0 {
                return Ok(Next::End);
            }
            let manner = self.state().manner;
            let text = line.trim_end();
            let verb = text.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            if talk.is_encrypted && manner == Manner::EndlessOnceEncrypted {
                return endless(stream.get_mut());
            }
            match verb.as_str() {
                "EHLO" => {
                    let starttls = if talk.is_encrypted || manner == Manner::NoStartTls {
                        ""
                    } else {
                        "250-STARTTLS\r\n"
                    };
                    let login = if talk.is_encrypted { "250-AUTH PLAIN LOGIN\r\n" } else { "" };
                    self.say(stream.get_mut(), &format!("250-double\r\n{starttls}{login}250 8BITMIME"))?;
                }
                "STARTTLS" => {
                    self.say(stream.get_mut(), "220 go ahead")?;
                    return Ok(Next::Encrypt);
                }
                "AUTH" => {
                    let user = plain_login(text).filter(|_| manner != Manner::NoLogin);
                    let answer =
                        if user.is_some() { "235 welcome" } else { "535 5.7.8 wrong user or password" };
                    talk.user = user;
                    self.say(stream.get_mut(), answer)?;
                }
                "MAIL" => {
                    (talk.from, talk.to) = (between(text), Vec::new());
                    self.say(stream.get_mut(), "250 ok")?;
                }
                "RCPT" => {
                    let to = between(text);
                    self.state().asked.push(to.clone());
                    let answer = match manner {
                        Manner::Later => format!("451 4.7.1 <{to}>: try again later"),
                        Manner::Leaving => format!("421 4.3.2 <{to}>: this server ends"),
                        Manner::Refusing => format!("550 5.1.1 <{to}>: no such user"),
                        _ => "250 ok".to_owned(),
                    };
                    talk.to.push(to);
                    self.say(stream.get_mut(), &answer)?;
                }
                "DATA" => {
                    self.say(stream.get_mut(), "354 go on")?;
                    if manner == Manner::Cut {
                        stream.read_line(&mut line)?;
                        return Ok(Next::End);
                    }
                    let data = data(stream)?;
                    let Talk { from, to, user, is_encrypted } = talk.clone();
                    self.state().mails.push(Mail { from, to, data, is_encrypted, user });
                    if manner == Manner::CutAfterData {
                        return Ok(Next::End);
                    }
                    self.say(stream.get_mut(), "250 2.0.0 queued as 4711")?;
                }
                "QUIT" => {
                    self.say(stream.get_mut(), "221 bye")?;
                    return Ok(Next::End);
                }
                _ => self.say(stream.get_mut(), "250 ok")?,
            }
        }
    }
}

/// Over TLS.
fn encrypted(stream: TcpStream) -> io::Result<BufReader<StreamOwned<ServerConnection, TcpStream>>> {
    let tls = ServerConnection::new(tls::server()).map_err(io::Error::other)?;
    Ok(BufReader::new(StreamOwned::new(tls, stream)))
}

/// A line without an end; until the client closes.
fn endless(stream: &mut impl Write) -> io::Result<Next> {
    stream.write_all(b"250 ")?;
    loop {
        stream.write_all(&[b'x'; 16 * 1024])?;
    }
}

/// What a client said so far.
#[derive(Clone, Default)]
struct Talk {
    from: String,
    to: Vec<String>,
    user: Option<String>,
    is_encrypted: bool,
}

#[derive(PartialEq, Eq)]
enum Next {
    End,
    Encrypt,
}

/// The address of `MAIL FROM:<a@b> …`.
fn between(text: &str) -> String {
    let inner = text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(address, _)| address.to_owned()).unwrap_or_default()
}

/// The user of `AUTH PLAIN …`, if it is the one that may log in.
fn plain_login(text: &str) -> Option<String> {
    let decoded = STANDARD.decode(text.strip_prefix("AUTH PLAIN ")?).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    (decoded == format!("\0{USER}\0{PASSWORD}")).then(|| USER.to_owned())
}

/// Up to the line with a dot, of which doubled ones lose one.
fn data(stream: &mut impl BufRead) -> io::Result<String> {
    let (mut data, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
