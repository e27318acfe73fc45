//! Fake identity providers: GitHub's shape and Google's (OpenID Connect), with switches for everything that
//! a real one may do wrong. They check what a real one checks: client, secret, redirect URI, single use of codes and
//! the PKCE challenge.

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    http,
    hub::Options,
    jwt::{RSA, key_set},
    serve::{Reply, Request, serve},
    wait,
};

/// What the hub is called at the providers.
pub const CLIENT_ID: &str = "client-1";
/// The secret that goes with it.
pub const CLIENT_SECRET: &str = "s3cret-of-the-client";
/// Where the hub says that browsers reach it; tests rewrite it to where it listens.
pub const HUB_URL: &str = "https://hub.example";
/// What goes wrong at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Status 500 with words that must not reach users.
    Failing,
    /// No answer at all.
    Silent,
    /// More than anybody should read.
    Huge,
    /// A redirect to a place that would answer well.
    Redirecting,
    /// A web page where JSON is expected.
    Html,
}

/// The words of [`Mishap::Failing`].
pub const INTERNALS: &str = "stack trace of the provider";

/// Who is logged in at the providers.
#[derive(Clone, Debug)]
pub struct Person {
    /// GitHub's number.
    pub github_id: u64,
    /// Google's `sub`.
    pub google_sub: String,
    /// Address, whether it is the primary one, whether it is verified.
    pub emails: Vec<(String, bool, bool)>,
}

impl Person {
    /// Somebody with one verified address.
    #[must_use]
    pub fn new(number: u64, email: &str) -> Self {
        Self {
            github_id: number,
            google_sub: format!("10{number}"),
            emails: vec![(email.to_owned(), true, true)],
        }
    }
}

/// Where the issuer of OpenID Connect names a person's e-mail address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmailAt {
    /// In the id_token, as Google does.
    #[default]
    IdToken,
    /// At the userinfo endpoint alone, as the specification has it (OpenID Connect Core 1.0, section 5.4).
    Userinfo,
}

/// Where the issuer of OpenID Connect wants the client's secret.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secret {
    /// In the body, as Google takes it too.
    #[default]
    Body,
    /// In the header `Authorization`, as the specification has it (OpenID Connect Core 1.0, section 9).
    Header,
}

/// What was agreed with a browser.
#[derive(Clone)]
struct Grant {
    parameters: HashMap<String, String>,
    person: Person,
}

#[derive(Default)]
struct State {
    person: Option<Person>,
    codes: HashMap<String, Grant>,
    tokens: HashMap<String, Person>,
    mishaps: BTreeMap<String, Mishap>,
    /// Claims of id_tokens that are replaced.
    forged: BTreeMap<String, Value>,
    /// Claims of userinfo that are replaced.
    forged_userinfo: BTreeMap<String, Value>,
    email_at: EmailAt,
    secret_in: Secret,
    issued: Vec<String>,
    seen: Vec<Request>,
}

/// Both providers behind one address.
pub struct Provider {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A form or query, decoded.
fn pairs(text: &str) -> HashMap<String, String> {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

impl Provider {
    /// Starts them; `person` is logged in there.
    #[must_use]
    pub fn start(person: Person) -> Self {
        let state = Arc::new(Mutex::new(State { person: Some(person), ..State::default() }));
        let shared = Arc::clone(&state);
        let address = serve(move |request| answer(&shared, request));
        Self { address, state }
    }

    /// The base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Options of a hub that knows these providers.
    #[must_use]
    pub fn configure(&self, options: Options) -> Options {
        let github = |path: &str| format!("{}/github/{path}", self.url());
        options
            .env("FERRY_OAUTH_REDIRECT_BASE", HUB_URL)
            .env("FERRY_GITHUB_CLIENT_ID", CLIENT_ID)
            .env("FERRY_GITHUB_CLIENT_SECRET", CLIENT_SECRET)
            .env("FERRY_GOOGLE_CLIENT_ID", CLIENT_ID)
            .env("FERRY_GOOGLE_CLIENT_SECRET", CLIENT_SECRET)
            .env("FERRY_GITHUB_AUTHORIZE_URL", github("authorize"))
            .env("FERRY_GITHUB_TOKEN_URL", github("token"))
            .env("FERRY_GITHUB_USER_URL", github("user"))
            .env("FERRY_GITHUB_EMAILS_URL", github("emails"))
            .env("FERRY_GOOGLE_ISSUER", format!("{}/google", self.url()))
    }

    /// Logs somebody else in.
    pub fn become_person(&self, person: Person) {
        lock(&self.state).person = Some(person);
    }

    /// From now on this happens at `path`; `None`: all is well again.
    pub fn mishap(&self, path: &str, mishap: Option<Mishap>) {
        let mishaps = &mut lock(&self.state).mishaps;
        match mishap {
            Some(mishap) => mishaps.insert(path.to_owned(), mishap),
            None => mishaps.remove(path),
        };
    }

    /// From now on id_tokens say this.
    pub fn forge(&self, claim: &str, value: Value) {
        lock(&self.state).forged.insert(claim.to_owned(), value);
    }

    /// From now on userinfo says this.
    pub fn forge_userinfo(&self, claim: &str, value: Value) {
        lock(&self.state).forged_userinfo.insert(claim.to_owned(), value);
    }

    /// From now on id_tokens and userinfo are true again.
    pub fn forge_nothing(&self) {
        let mut state = lock(&self.state);
        state.forged.clear();
        state.forged_userinfo.clear();
    }

    /// From now on the issuer names e-mail addresses there.
    pub fn tell_email(&self, at: EmailAt) {
        lock(&self.state).email_at = at;
    }

    /// From now on the issuer takes the secret there, and nowhere else.
    pub fn take_secret(&self, secret_in: Secret) {
        lock(&self.state).secret_in = secret_in;
    }

    /// Requests that came so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Request> {
        lock(&self.state).seen.clone()
    }

    /// Codes and tokens that were given so far: secrets.
    #[must_use]
    pub fn issued(&self) -> Vec<String> {
        lock(&self.state).issued.clone()
    }

    /// The person agrees in the browser; where the browser is sent then.
    ///
    /// # Panics
    /// If the provider refuses.
    #[must_use]
    pub fn agree(&self, authorize_url: &str) -> String {
        let path = authorize_url.strip_prefix(&self.url()).expect("the URL is the provider's");
        let answer = http::get(self.address, path).expect("the provider answers");
        assert_eq!(answer.status, 302, "{}", answer.text());
        answer.header("location").expect("a redirect has a location").to_owned()
    }

    /// The person agrees; the code that the browser carries back to the hub.
    ///
    /// # Panics
    /// If the provider refuses.
    #[must_use]
    pub fn code(&self, authorize_url: &str) -> String {
        let location = self.agree(authorize_url);
        let query = location.split_once('?').expect("a code stands in the query").1;
        pairs(query).remove("code").expect("a code")
    }

    /// The path and query of a redirect to the hub.
    ///
    /// # Panics
    /// If it is to somewhere else.
    #[must_use]
    pub fn path_at_hub(location: &str) -> &str {
        location.strip_prefix(HUB_URL).unwrap_or_else(|| panic!("{location} is not the hub"))
    }
}

/// What an issuer says of a person's e-mail address.
fn email_claims(person: &Person, claims: &mut Value) {
    if let Some((email, _, verified)) = person.emails.first() {
        claims["email"] = json!(email);
        claims["email_verified"] = json!(verified);
    }
}

fn answer(state: &Mutex<State>, request: &Request) -> Reply {
    let mut state = lock(state);
    state.seen.push(request.clone());
    match state.mishaps.get(&request.path) {
        Some(Mishap::Failing) => {
            return Reply::Answer(500, Vec::new(), format!("{{\"error\":\"{INTERNALS}\"}}").into_bytes());
        }
        Some(Mishap::Silent) => return Reply::Silence,
        Some(Mishap::Huge) => return Reply::Answer(200, Vec::new(), vec![b' '; 300 << 10]),
        Some(Mishap::Redirecting) => return Reply::redirect(format!("/moved{}", request.path)),
        Some(Mishap::Html) => return Reply::Answer(200, Vec::new(), b"<html>welcome</html>".to_vec()),
        None => {}
    }
    let path = request.path.strip_prefix("/moved").unwrap_or(&request.path);
    let host = request.header("host").unwrap_or_default();
    match path {
        "/github/authorize" | "/google/authorize" => state.authorize(request),
        "/github/token" => state.exchange(request, false, host),
        "/google/token" => state.exchange(request, true, host),
        "/github/user" => state.user(request, |person| {
            json!({"login": "ada", "id": person.github_id, "email": "profile@forged.example"})
        }),
        "/github/emails" => state.user(request, |person| {
            let row = |(email, primary, verified): &(String, bool, bool)| {
                json!({"email": email, "primary": primary, "verified": verified, "visibility": null})
            };
            person.emails.iter().map(row).collect()
        }),
        "/google/userinfo" => {
            let forged = state.forged_userinfo.clone();
            state.user(request, |person| {
                let mut claims = json!({"sub": person.google_sub});
                email_claims(person, &mut claims);
                forged.iter().for_each(|(name, value)| claims[name] = value.clone());
                claims
            })
        }
        "/google/.well-known/openid-configuration" => Reply::json(&json!({
            "issuer": format!("http://{host}/google"),
            "authorization_endpoint": format!("http://{host}/google/authorize"),
            "token_endpoint": format!("http://{host}/google/token"),
            "userinfo_endpoint": format!("http://{host}/google/userinfo"),
            "jwks_uri": format!("http://{host}/google/jwks"),
        })),
        "/google/jwks" => Reply::json(&key_set(&[RSA])),
        _ => Reply::status(404),
    }
}

impl State {
    fn authorize(&mut self, request: &Request) -> Reply {
        let parameters = pairs(&request.query);
        let has = |name: &str, value: &str| parameters.get(name).is_some_and(|found| found == value);
        let person = self.person.clone().expect("somebody is logged in");
        if !has("client_id", CLIENT_ID)
            || !has("response_type", "code")
            || !has("code_challenge_method", "S256")
        {
            return Reply::status(400);
        }
        let code = format!("c0de{:016x}", self.codes.len() + 0x5eed);
        let location = format!("{}?code={code}&state={}", parameters["redirect_uri"], parameters["state"]);
        self.issued.push(code.clone());
        self.codes.insert(code, Grant { parameters, person });
        Reply::redirect(location)
    }

    fn exchange(&mut self, request: &Request, openid: bool, host: &str) -> Reply {
        let form = pairs(&request.body);
        let has = |name: &str, value: &str| form.get(name).is_some_and(|found| found == value);
        let is_client = match (openid, self.secret_in) {
            (true, Secret::Header) => {
                let secret = STANDARD.encode(format!("{CLIENT_ID}:{CLIENT_SECRET}"));
                request.header("authorization") == Some(&format!("Basic {secret}"))
            }
            _ => has("client_id", CLIENT_ID) && has("client_secret", CLIENT_SECRET),
        };
        if !is_client {
            return Reply::status_json(401, &json!({"error": "invalid_client"}));
        }
        // A code is spent by its first use, right or wrong.
        let grant = form.get("code").and_then(|code| self.codes.remove(code)).filter(|grant| {
            let verifier = form.get("code_verifier").map(String::as_str).unwrap_or_default();
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
            grant.parameters.get("code_challenge") == Some(&challenge)
                && grant.parameters.get("redirect_uri") == form.get("redirect_uri")
        });
        let Some(grant) = grant else {
            return match openid {
                true => Reply::status_json(400, &json!({"error": "invalid_grant"})),
                false => Reply::json(&json!({"error": "bad_verification_code"})),
            };
        };
        let token = format!("t0ken{:016x}", self.tokens.len() + 0xacce55);
        self.issued.push(token.clone());
        self.tokens.insert(token.clone(), grant.person.clone());
        let mut answer = json!({"access_token": token, "token_type": "bearer", "scope": "user:email"});
        if openid {
            let id_token = self.id_token(&grant, host);
            self.issued.push(id_token.clone());
            answer["id_token"] = json!(id_token);
        }
        Reply::json(&answer)
    }

    fn id_token(&self, grant: &Grant, host: &str) -> String {
        let mut claims = json!({
            "iss": format!("http://{host}/google"),
            "sub": grant.person.google_sub,
            "aud": CLIENT_ID,
            "exp": wait::unix_seconds() + 300,
            "iat": wait::unix_seconds(),
            "nonce": grant.parameters.get("nonce"),
        });
        if self.email_at == EmailAt::IdToken {
            email_claims(&grant.person, &mut claims);
        }
        self.forged.iter().for_each(|(name, value)| claims[name] = value.clone());
        RSA.token(&claims)
    }

    fn user(&self, request: &Request, describe: impl Fn(&Person) -> Value) -> Reply {
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        match token.and_then(|token| self.tokens.get(token)) {
            Some(person) => Reply::json(&describe(person)),
            None => Reply::status_json(401, &json!({"message": "Bad credentials"})),
        }
    }
}
