//! What it costs to authenticate a caller, to hold that for a connection, and to end it: in this process, on the control
//! plane itself.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use ferry_auth::{AuthContext, Caveat, jwt::JwtSettingsText, macaroon};
use ferry_control::{
    Access, Caller, ClientInfo, Control, CreateDatabase, Credentials, IssueSyncToken, IssueToken, Origin,
    RevokeDatabaseTokens, SetJwtSettings, SignUp,
};
use ferry_hub::{
    clock::SystemClock,
    config::{Config, ServeArgs},
};
use ferry_testkit::{jwt, rpc::PASSWORD, wait};
use ferry_types::{ModelSet, Op, OpSet};
use http::{HeaderMap, header};
use serde_json::json;

use crate::{load, table};

/// Distinct sync tokens; far more than the cache holds, so that each first sight is cold.
const TOKENS: usize = 40_000;
/// Distinct JWTs.
const JWTS: usize = 4_000;
/// Credentials that are seen again and again.
const WARM: usize = 1_000;
/// How often each of them.
const REPEATS: usize = 400;
/// Connections of the revoked database.
const CONNECTIONS: usize = 10_000;
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "bench";

pub(super) fn run() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let place = Place::open(dir.path()).await;
        place.verifications().await;
        place.connections().await;
        place.control.stop().await;
    });
}

struct Place {
    control: Arc<Control>,
    caller: Caller,
    database: String,
    ip: IpAddr,
    origin: Origin,
}

impl Place {
    async fn open(dir: &std::path::Path) -> Self {
        let flags = [("data_dir", dir.display().to_string()), ("rate_limit_scale", "0".to_owned())];
        let args = ServeArgs { dev: false, config: None, flags: BTreeMap::from(flags) };
        let config = Config::load(&args, &BTreeMap::new()).expect("the settings are good");
        let control = Control::open(config.control.clone(), None, &Arc::default(), Arc::new(SystemClock))
            .await
            .expect("the control plane opens");
        let ip = IpAddr::from([127, 0, 0, 1]);
        let origin = Origin::new("bench".to_owned(), ip.into());
        let session =
            SignUp { email: "bench@example.com", password: PASSWORD, invite_code: "", origin: &origin }
                .run(&control.accounts)
                .await
                .expect("the signup");
        let caller = control
            .authenticator
            .session(&headers(&session.token), ip.into(), Access::Full)
            .expect("the session is good");
        let entry = CreateDatabase { caller: &caller, name: "bench", org: "", kind: "", origin: &origin }
            .run(&control.db, control.max_databases_per_org)
            .await
            .expect("the database");
        let settings = JwtSettingsText {
            jwks_json: json!({"keys": [jwt::ED.jwk()]}).to_string(),
            issuer: ISSUER.to_owned(),
            audiences: vec![AUDIENCE.to_owned()],
            ..JwtSettingsText::default()
        };
        let database = entry.id.to_string();
        SetJwtSettings { caller: &caller, database: &database, text: settings, origin: &origin }
            .run(&control.db)
            .await
            .expect("the settings");
        Self { control, caller, database, ip, origin }
    }

    /// Sync tokens that differ in one of their three caveats.
    async fn tokens(&self) -> Vec<HeaderMap> {
        let wanted = IssueToken {
            database: self.database.clone(),
            models: ModelSet::ALL,
            ops: OpSet::of(&[Op::Read, Op::Write]),
            ttl_seconds: 3600,
            caveats: Vec::new(),
            label: String::new(),
        };
        let issued = IssueSyncToken { caller: &self.caller, request: wanted, origin: &self.origin }
            .run(&self.control.db, self.control.token_lives)
            .await;
        let issued = issued.expect("the token is issued");
        let caveat = |text: String| text.parse::<Caveat>().expect("a caveat");
        let later = issued.exp_unix;
        (0..TOKENS)
            .map(|number| {
                let exp = format!("exp={}", later + i64::try_from(number).expect("a small number"));
                let caveats = [caveat("op=read".into()), caveat("ip=127.0.0.0/8".into()), caveat(exp)];
                headers(&macaroon::attenuate(&issued.token, &caveats).expect("the token can be narrowed"))
            })
            .collect()
    }

    fn jwts(&self) -> Vec<HeaderMap> {
        let exp = wait::unix_seconds() + 3600;
        (0..JWTS)
            .map(|number| {
                let claims =
                    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": format!("user{number}"), "exp": exp});
                headers(&jwt::ED.token(&claims))
            })
            .collect()
    }

    async fn authenticate(&self, headers: &HeaderMap) -> AuthContext {
        let credentials = Credentials::of_headers(headers);
        let client = ClientInfo::of(self.ip.into(), headers);
        let route = Some(self.database.as_str());
        self.control
            .authenticator
            .authenticate(&credentials, &client, route)
            .await
            .expect("the credential is good")
    }

    /// CPU-µs of each look at `credentials`, `repeats` times over.
    async fn cost_us(&self, credentials: &[HeaderMap], repeats: usize) -> f64 {
        let before = cpu_ms();
        for _ in 0..repeats {
            for headers in credentials {
                std::hint::black_box(self.authenticate(headers).await);
            }
        }
        (cpu_ms() - before) as f64 * 1e3 / (credentials.len() * repeats) as f64
    }

    async fn verifications(&self) {
        let (tokens, jwts) = (self.tokens().await, self.jwts());
        let token_cold = self.cost_us(&tokens, 1).await;
        let token_warm = self.cost_us(&tokens[..WARM], REPEATS).await;
        let jwt_cold = self.cost_us(&jwts, 1).await;
        let jwt_warm = self.cost_us(&jwts[..WARM], REPEATS).await;
        let row = |name: &str, cold: f64, warm: f64, bars: &str| {
            vec![name.to_owned(), format!("{cold:.1}"), format!("{warm:.2}"), bars.to_owned()]
        };
        table::print(
            "Telling who is calling",
            &format!(
                "In process, whole `authenticate`: carriers, proof, times, epochs, revocation, membership. Cold: {TOKENS} \
                 sync tokens (three caveats) and {JWTS} JWTs, each seen for the first time. Cached: {WARM} of them, \
                 {REPEATS} times. No disk in either."
            ),
            &["credential", "cold, CPU-µs", "cached, CPU-µs", "bars"],
            &[
                row("sync token, 3 caveats", token_cold, token_warm, "10 / 1.5"),
                row("EdDSA JWT", jwt_cold, jwt_warm, "120 / 3"),
            ],
        );
    }

    async fn connections(&self) {
        let tokens = self.tokens().await;
        let mut held = Vec::with_capacity(CONNECTIONS);
        let resident = load::usage(std::process::id()).resident_bytes;
        for headers in &tokens[..CONNECTIONS] {
            let auth = self.authenticate(headers).await;
            held.push((self.control.watch(&auth), auth));
        }
        let each =
            load::usage(std::process::id()).resident_bytes.saturating_sub(resident) / CONNECTIONS as u64;
        let waiting: Vec<_> = held
            .into_iter()
            .map(|(mut watch, auth)| {
                tokio::spawn(async move {
                    let _auth = auth;
                    watch.ended().await
                })
            })
            .collect();
        // Every task has begun to wait once the runtime has nothing left to do.
        wait::within(Duration::from_secs(1), || None::<()>);
        let before = cpu_ms();
        let begun = tokio::time::Instant::now();
        let revoked =
            RevokeDatabaseTokens { caller: &self.caller, database: &self.database, origin: &self.origin }
                .run(&self.control.db);
        revoked.await.expect("the tokens are revoked");
        for task in waiting {
            task.await.expect("the watch ends");
        }
        let took = begun.elapsed();
        let cpu_us = (cpu_ms() - before) as f64 * 1e3 / CONNECTIONS as f64;
        table::print(
            &format!("{CONNECTIONS} connections of one database"),
            "In process: verified tokens with three caveats and their watches, held by a task each; then \
             RevokeDatabaseTokens (durable: WAL, synchronous=FULL), until every watch has told its task.",
            &["figure", "value", "bar"],
            &[
                vec!["auth state per idle connection".into(), table::bytes(each), "512 B".into()],
                vec!["revocation, CPU-µs per connection".into(), format!("{cpu_us:.1}"), "20".into()],
                vec![
                    "revocation, until all were told".into(),
                    format!("{:.0} ms", took.as_secs_f64() * 1e3),
                    "1000 ms".into(),
                ],
            ],
        );
    }
}

fn headers(token: &str) -> HeaderMap {
    let value = format!("Bearer {token}").parse().expect("a token is a header value");
    HeaderMap::from_iter([(header::AUTHORIZATION, value)])
}

fn cpu_ms() -> u64 {
    load::usage(std::process::id()).cpu_ms
}
