//! Logging in through a fake provider (scenario 9).

use ferry_testkit::{
    Hub, Session, http,
    provider::{HUB_URL, INTERNALS, Mishap, Person, Provider},
    rpc::{EDGEREPLICA, FERRY, PASSWORD, Refusal, call, call_from},
    wait,
};
use serde_json::{Value, json};

use crate::support::{control_db, options, refused};

/// A verifier as a client draws it, and its challenge (RFC 7636, appendix B).
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(super) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(super) const BOTH: [&str; 2] = ["github", "google"];

/// A hub and the providers it knows; Ada is logged in there.
pub(super) fn place() -> (Hub, Provider) {
    let provider = Provider::start(Person::new(583_231, "ada@example.com"));
    let hub = provider.configure(options()).start();
    (hub, provider)
}

/// A login that was begun: where the browser goes, and its state.
pub(super) struct Begun {
    pub(super) url: String,
    pub(super) state: String,
}

pub(super) fn start(
    hub: &Hub,
    service: &str,
    request: &Value,
    bearer: Option<&str>,
) -> Result<Begun, Refusal> {
    let answer = call(hub.address(), service, "StartOAuth", request, bearer)?;
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    Ok(Begun { url: text("redirectUrl"), state: text("state") })
}

pub(super) fn begin(hub: &Hub, provider: &str) -> Begun {
    start(hub, FERRY, &json!({"provider": provider, "clientChallenge": CHALLENGE}), None).unwrap()
}

pub(super) fn complete(hub: &Hub, state: &str, code: &str) -> Result<Value, Refusal> {
    let request = json!({"state": state, "code": code, "clientVerifier": VERIFIER});
    call(hub.address(), FERRY, "CompleteOAuth", &request, None)
}

/// Logs in from end to end.
pub(super) fn login(hub: &Hub, provider: &Provider, name: &str) -> Result<Value, Refusal> {
    let begun = begin(hub, name);
    complete(hub, &begun.state, &provider.code(&begun.url))
}

// Verifies: OAU-05, OAU-08, OAU-10, OAU-12
#[test]
fn edgereplicas_client_logs_in_with_a_pasted_code() {
    let (hub, provider) = place();
    let begun = start(&hub, EDGEREPLICA, &json!({"provider": "github"}), None).unwrap();
    assert_eq!(begun.state.len(), 64);
    assert!(begun.state.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')), "{}", begun.state);
    let location = provider.agree(&begun.url);
    assert!(location.starts_with(&format!("{HUB_URL}/oauth/github/callback?")), "{location}");
    let page = http::get(hub.address(), Provider::path_at_hub(&location)).unwrap();
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").unwrap().starts_with("text/html"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    assert_eq!(page.header("content-security-policy"), Some(policy));
    let code = location.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let command = format!("edgereplica oauth complete --state {} --code {code}", begun.state);
    assert!(page.text().contains(&command) && page.text().contains("Warning"), "{}", page.text());
    let request = json!({"state": begun.state, "code": code});
    let answer = call(hub.address(), EDGEREPLICA, "CompleteOAuth", &request, None).unwrap();
    let whoami = &answer["whoami"];
    assert_eq!(whoami["email"], "ada@example.com");
    assert_eq!(whoami["role"], "admin");
    let token = answer["sessionToken"].as_str().unwrap();
    let reply = call(hub.address(), EDGEREPLICA, "Whoami", &json!({}), Some(token)).unwrap();
    assert_eq!(&reply["whoami"], whoami);
    // The same identity again is the same user.
    let again = login(&hub, &provider, "github").unwrap();
    assert_eq!(again["whoami"]["userId"], whoami["userId"]);
    assert_eq!(again["whoami"]["emailVerified"], true);
}

// Verifies: OAU-03, OAU-09, OAU-10
#[test]
fn each_provider_makes_an_account_of_its_own_identity() {
    let (hub, provider) = place();
    let first = login(&hub, &provider, "google").unwrap();
    assert_eq!(first["whoami"]["email"], "ada@example.com");
    let asked = provider.seen();
    let exchange = asked.iter().find(|request| request.path == "/google/token").unwrap();
    assert!(exchange.body.contains("code_verifier=") && exchange.method == "POST", "{}", exchange.body);
    let restarted = hub.restart();
    let again = login(&restarted, &provider, "google").unwrap();
    assert_eq!(again["whoami"]["userId"], first["whoami"]["userId"]);
    assert_eq!(again["whoami"]["emailVerified"], true, "told from what is stored");
}

// Verifies: OAU-02, OAU-04
#[test]
fn an_oauth_state_works_once_and_only_for_its_client() {
    let (hub, provider) = place();
    for name in BOTH {
        provider.become_person(Person::new(name.len() as u64, &format!("{name}@example.com")));
        let begun = begin(&hub, name);
        let code = provider.code(&begun.url);
        complete(&hub, &begun.state, &code).unwrap();
        let replayed = refused(complete(&hub, &begun.state, &code), "permission_denied");
        assert_eq!(replayed.message, "invalid or expired oauth state");

        // A foreign client has state and code, and no verifier; the attempt spends the state.
        let begun = begin(&hub, name);
        let code = provider.code(&begun.url);
        for verifier in ["", "A9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"] {
            let request = json!({"state": begun.state, "code": code, "clientVerifier": verifier});
            let foreign = call(hub.address(), FERRY, "CompleteOAuth", &request, None);
            assert_eq!(refused(foreign, "permission_denied").message, "invalid or expired oauth state");
        }
        refused(complete(&hub, &begun.state, &code), "permission_denied");
    }
    refused(complete(&hub, &"0".repeat(64), "c"), "permission_denied");
    let stored: u64 =
        control_db(&hub).query_row("SELECT count(*) FROM oauth_states", [], |row| row.get(0)).unwrap();
    assert_eq!(stored, 0);
}

// Verifies: OAU-02
#[test]
fn states_are_stored_hashed_and_expire() {
    let (hub, provider) = place();
    let begun = begin(&hub, "github");
    let code = provider.code(&begun.url);
    let database = control_db(&hub);
    let (hash, payload): (Vec<u8>, String) = database
        .query_row("SELECT secret_hash, payload FROM oauth_states", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert!(hash.len() == 32 && !payload.contains(&begun.state), "{payload}");
    database.execute("UPDATE oauth_states SET expires = ?1", [wait::unix_seconds() * 1000]).unwrap();
    refused(complete(&hub, &begun.state, &code), "permission_denied");
    let location = format!("/oauth/github/callback?state={}&code=c", begun.state);
    assert!(http::get(hub.address(), &location).unwrap().text().contains("edgereplica oauth complete"));
}

// Verifies: OAU-04
#[test]
fn a_login_without_challenge_completes_only_from_its_own_address() {
    let provider = Provider::start(Person::new(1, "ada@example.com"));
    let hub = provider
        .configure(options())
        .env("FERRY_TRUSTED_PROXIES", "127.0.0.1")
        .env("FERRY_SIGNUP", "open")
        .start();
    let from = |ip: &str, method: &str, request: &Value| call_from(ip, hub.address(), method, request);
    for (ip, lets_in) in [("192.0.2.7", true), ("192.0.2.8", false)] {
        let begun = from("192.0.2.7", "StartOAuth", &json!({"provider": "github"})).unwrap();
        let code = provider.code(begun["redirectUrl"].as_str().unwrap());
        let completed = from(ip, "CompleteOAuth", &json!({"state": begun["state"], "code": code}));
        assert_eq!(completed.is_ok(), lets_in, "{ip}: {completed:?}");
    }
    let strict = hub.restart_with(|options| options.env("FERRY_OAUTH_LEGACY", "false"));
    let legacy = start(&strict, EDGEREPLICA, &json!({"provider": "github"}), None);
    assert_eq!(legacy.err().unwrap().code, "permission_denied");
    login(&strict, &provider, "github").unwrap();
}

// Verifies: OAU-04, OAU-09
#[test]
fn a_code_of_another_login_is_refused() {
    let (hub, provider) = place();
    for name in BOTH {
        let (own, foreign) = (begin(&hub, name), begin(&hub, name));
        let code = provider.code(&foreign.url);
        let swapped = refused(complete(&hub, &own.state, &code), "permission_denied");
        assert!(swapped.message.contains("refused the code"), "{}", swapped.message);
        // The provider spent it, so that nobody has it any more.
        refused(complete(&hub, &foreign.state, &code), "permission_denied");
    }
    // Even a provider that does not look at the challenge is caught by the nonce.
    provider.forge("nonce", json!("of another login"));
    refused(login(&hub, &provider, "google"), "permission_denied");
}

// Verifies: OAU-06
#[test]
fn the_page_shows_plain_values_only() {
    let (hub, _provider) = place();
    let at = |path: &str| http::get(hub.address(), path).unwrap();
    let shown = at("/oauth/github/callback?state=unknown&code=-x");
    assert_eq!(shown.status, 200);
    assert!(
        shown.text().contains("edgereplica oauth complete --state unknown --code=-x"),
        "{}",
        shown.text()
    );
    for query in [
        "state=s&code=$(id)",
        "state=s&code=%24%28id%29",
        "state=s&code=a%3Bb",
        "state=%3Cscript%3E&code=c",
        "state=s&code=a%0Ab",
        "state=s",
        "code=c",
        "",
        "error=access_denied&state=s",
        "error=access_denied&state=s&code=c",
    ] {
        let answer = at(&format!("/oauth/github/callback?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        assert!(!answer.text().contains("oauth complete"), "{query}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{query}");
    }
    for path in
        ["/oauth/", "/oauth/gitlab/callback?state=s&code=c", "/oauth/github", "/oauth/github/callback/x"]
    {
        assert_eq!(at(path).status, 404, "{path}");
    }
    let begun = begin(&hub, "github");
    for (state, code) in [(begun.state.as_str(), "$(id)"), (&begun.state, ""), ("$(id)", "c")] {
        let refusal = complete(&hub, state, code).unwrap_err();
        assert!(matches!(refusal.status, 400 | 403), "{refusal:?}");
    }
}

// Verifies: OAU-07
#[test]
fn a_client_on_this_machine_is_sent_its_code() {
    let (hub, provider) = place();
    let request = json!({"provider": "github", "clientChallenge": CHALLENGE, "loopbackPort": 49152});
    let begun = start(&hub, FERRY, &request, None).unwrap();
    let location = provider.agree(&begun.url);
    let answer = http::get(hub.address(), Provider::path_at_hub(&location)).unwrap();
    let code = location.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let expected = format!("http://127.0.0.1:49152/callback?state={}&code={code}", begun.state);
    assert_eq!((answer.status, answer.header("location")), (302, Some(expected.as_str())));
    complete(&hub, &begun.state, code).unwrap();
    // The way back of another provider is not its way.
    let begun = start(&hub, FERRY, &request, None).unwrap();
    let foreign = format!("/oauth/google/callback?state={}&code=c", begun.state);
    assert_eq!(http::get(hub.address(), &foreign).unwrap().status, 200);
    for port in [80, 1023, 65_536] {
        let request = json!({"provider": "github", "clientChallenge": CHALLENGE, "loopbackPort": port});
        assert_eq!(start(&hub, FERRY, &request, None).err().unwrap().code, "invalid_argument", "{port}");
    }
    for challenge in ["", "short"] {
        let request = json!({"provider": "github", "clientChallenge": challenge, "loopbackPort": 49152});
        assert_eq!(start(&hub, FERRY, &request, None).err().unwrap().code, "invalid_argument");
    }
    // With a challenge and no port, the page names the client that sent it.
    let begun = begin(&hub, "github");
    let page = http::get(hub.address(), Provider::path_at_hub(&provider.agree(&begun.url))).unwrap();
    assert!(page.text().contains("<pre>ferry oauth complete --state"), "{}", page.text());
}

// Verifies: OAU-08, OAU-09, OAU-10
#[test]
fn an_email_must_be_verified_and_not_taken() {
    let (hub, provider) = place();
    let mut unverified = Person::new(7, "eve@example.com");
    unverified.emails[0].2 = false;
    provider.become_person(unverified.clone());
    for name in BOTH {
        let refusal = refused(login(&hub, &provider, name), "failed_precondition");
        assert!(refusal.message.contains("verified no e-mail"), "{}", refusal.message);
    }
    // GitHub: another verified address will do.
    unverified.emails.push(("eve@work.example".to_owned(), false, true));
    provider.become_person(unverified);
    assert_eq!(login(&hub, &provider, "github").unwrap()["whoami"]["email"], "eve@work.example");

    hub.signup("ada@example.com");
    provider.become_person(Person::new(583_231, "Ada@Example.com"));
    for name in BOTH {
        let refusal = refused(login(&hub, &provider, name), "already_exists");
        assert_eq!(refusal.reason, "ACCOUNT_EXISTS");
    }
    let closed = hub.restart_with(|options| options.env("FERRY_SIGNUP", "closed"));
    provider.become_person(Person::new(99, "new@example.com"));
    for name in BOTH {
        assert_eq!(refused(login(&closed, &provider, name), "permission_denied").reason, "SIGNUP_CLOSED");
    }
}

fn link(
    hub: &Hub,
    provider: &Provider,
    name: &str,
    user: &Session,
    change: &Value,
) -> Result<Value, Refusal> {
    let request = json!({"provider": name, "clientChallenge": CHALLENGE, "link": true});
    let begun = start(hub, FERRY, &request, Some(&user.token))?;
    let mut request = json!({
        "state": begun.state, "code": provider.code(&begun.url), "clientVerifier": VERIFIER,
        "confirmLink": true, "password": PASSWORD,
    });
    for (name, value) in change.as_object().unwrap() {
        request[name] = value.clone();
    }
    user.ferry("CompleteOAuth", &request)
}

// Verifies: OAU-11
#[test]
fn only_the_owner_links_an_account_to_a_provider() {
    let (hub, provider) = place();
    let ada = hub.signup("ada@example.com");
    let eve = hub.signup("eve@example.com");
    let anonymous = json!({"provider": "github", "clientChallenge": CHALLENGE, "link": true});
    assert_eq!(start(&hub, FERRY, &anonymous, None).err().unwrap().code, "unauthenticated");
    // Without confirmation, without password, with another's session or of another's address: no.
    let unconfirmed = link(&hub, &provider, "github", &ada, &json!({"confirmLink": false}));
    refused(unconfirmed, "permission_denied");
    let wrong = link(&hub, &provider, "github", &ada, &json!({"password": "a wrong password"}));
    refused(wrong, "unauthenticated");
    let request = json!({"provider": "github", "clientChallenge": CHALLENGE, "link": true});
    let begun = start(&hub, FERRY, &request, Some(&ada.token)).unwrap();
    let request = json!({
        "state": begun.state, "code": provider.code(&begun.url), "clientVerifier": VERIFIER,
        "confirmLink": true, "password": PASSWORD,
    });
    refused(eve.ferry("CompleteOAuth", &request), "permission_denied");
    refused(link(&hub, &provider, "github", &eve, &json!({})), "failed_precondition");
    refused(login(&hub, &provider, "github"), "already_exists");

    for name in BOTH {
        let linked = link(&hub, &provider, name, &ada, &json!({})).unwrap();
        assert_eq!(linked["whoami"]["email"], "ada@example.com");
        assert_eq!(linked["whoami"]["emailVerified"], true);
        let entered = login(&hub, &provider, name).unwrap();
        assert_eq!(entered["whoami"]["userId"], linked["whoami"]["userId"]);
        // Again: nothing to do.
        link(&hub, &provider, name, &ada, &json!({})).unwrap();
    }
    // The identity is taken, whatever address the provider names later.
    provider.become_person(Person::new(583_231, "eve@example.com"));
    refused(link(&hub, &provider, "github", &eve, &json!({})), "already_exists");
    let _ = Session::login(hub.address(), "ada@example.com");
}

// Verifies: OAU-11
#[test]
fn a_wrong_password_while_linking_keeps_the_login_open() {
    let (hub, provider) = place();
    let ada = hub.signup("ada@example.com");
    let request = json!({"provider": "google", "clientChallenge": CHALLENGE, "link": true});
    let begun = start(&hub, FERRY, &request, Some(&ada.token)).unwrap();
    let code = provider.code(&begun.url);
    let with = |password: &str| {
        let request = json!({
            "state": begun.state, "code": code, "clientVerifier": VERIFIER, "confirmLink": true,
            "password": password,
        });
        ada.ferry("CompleteOAuth", &request)
    };
    refused(with("a wrong password"), "unauthenticated");
    with(PASSWORD).unwrap();
}

// Verifies: OAU-13, WEB-08
#[test]
fn a_failing_provider_is_unavailable_and_its_message_is_not_forwarded() {
    let (hub, provider) = place();
    let paths = ["/github/token", "/github/user", "/github/emails", "/google/token", "/google/jwks"];
    for path in paths {
        let name = if path.starts_with("/github") { "github" } else { "google" };
        for mishap in [Mishap::Failing, Mishap::Huge, Mishap::Redirecting, Mishap::Html] {
            provider.mishap(path, Some(mishap));
            let refusal = refused(login(&hub, &provider, name), "unavailable");
            assert!(refusal.message.contains("did not answer as it should"), "{path} {mishap:?} {refusal:?}");
            assert!(!refusal.message.contains(INTERNALS), "{refusal:?}");
        }
        provider.mishap(path, None);
        login(&hub, &provider, name).map_err(|refusal| format!("{path}: {refusal:?}")).unwrap_or_else(
            |reply| {
                // The other provider's account has the address already.
                assert!(reply.contains("ACCOUNT_EXISTS"), "{reply}");
                Value::Null
            },
        );
    }
    assert!(
        provider.seen().iter().all(|request| !request.path.starts_with("/moved")),
        "no redirect was followed"
    );
}

// Verifies: OAU-13
#[test]
fn a_silent_provider_times_out_without_blocking_others() {
    let (hub, provider) = place();
    provider.mishap("/github/token", Some(Mishap::Silent));
    let begun = begin(&hub, "github");
    let code = provider.code(&begun.url);
    let (address, state) = (hub.address(), begun.state.clone());
    let waiting = std::thread::spawn(move || {
        let request = json!({"state": state, "code": code, "clientVerifier": VERIFIER});
        wait::timed(|| call(address, FERRY, "CompleteOAuth", &request, None))
    });
    wait::until("the hub asks", || {
        provider.seen().iter().any(|request| request.path == "/github/token").then_some(())
    });
    let (took, _) = wait::timed(|| hub.signup("bob@example.com"));
    assert!(took.as_secs() < 5, "{took:?}");
    let (took, outcome) = waiting.join().unwrap();
    refused(outcome, "unavailable");
    assert!((9..20).contains(&took.as_secs()), "{took:?}");
}

// Verifies: OAU-01
#[test]
fn a_provider_without_its_settings_is_not_offered() {
    let provider = Provider::start(Person::new(1, "ada@example.com"));
    let hub = provider.configure(options()).env("FERRY_GOOGLE_CLIENT_SECRET", "").start();
    let asked = |hub: &Hub, name: &str| start(hub, EDGEREPLICA, &json!({"provider": name}), None);
    assert_eq!(asked(&hub, "google").err().unwrap().code, "unimplemented");
    assert!(asked(&hub, "github").is_ok());
    assert_eq!(asked(&hub, "gitlab").err().unwrap().code, "invalid_argument");
    let nowhere = hub.restart_with(|options| options.env("FERRY_OAUTH_REDIRECT_BASE", ""));
    assert_eq!(asked(&nowhere, "github").err().unwrap().code, "unimplemented");
    let public = nowhere.restart_with(|options| options.env("FERRY_PUBLIC_URL", "https://public.example/"));
    let url = asked(&public, "github").unwrap().url;
    assert!(url.contains("redirect_uri=https%3A%2F%2Fpublic.example%2Foauth%2Fgithub%2Fcallback"), "{url}");
    let refused =
        provider.configure(options()).env("FERRY_GITHUB_TOKEN_URL", "http://github.example/x").try_start();
    let refused = refused.unwrap_err();
    assert!(refused.code == Some(78) && refused.output.contains("GITHUB_TOKEN_URL"), "{refused:?}");
}

// Verifies: WEB-06
#[test]
fn logins_at_providers_are_few_per_hour() {
    let provider = Provider::start(Person::new(1, "ada@example.com"));
    let hub = provider.configure(options()).env("FERRY_RATE_LIMIT_SCALE", "1").start();
    // Questions that begin nothing count for nothing.
    for _ in 0..5 {
        start(&hub, EDGEREPLICA, &json!({"provider": "gitlab"}), None).err().unwrap();
    }
    let begun: Vec<Begun> = (0..30).map(|_| begin(&hub, "github")).collect();
    let over = start(&hub, EDGEREPLICA, &json!({"provider": "github"}), None).err().unwrap();
    assert_eq!((over.status, over.reason.as_str()), (429, "RATE_LIMITED"));
    // Those that were begun are completed, all of them: an office behind one address lost half of its logins.
    for (number, Begun { url, state }) in begun.iter().enumerate() {
        provider.become_person(Person::new(number as u64, &format!("user{number}@example.com")));
        let location = provider.agree(url);
        let page = http::get(hub.address(), Provider::path_at_hub(&location)).unwrap();
        assert_eq!(page.status, 200, "{}", page.text());
        let code = location.split("code=").nth(1).unwrap().split('&').next().unwrap();
        complete(&hub, state, code).unwrap_or_else(|refusal| panic!("login {number}: {refusal:?}"));
    }
}
