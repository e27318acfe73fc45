//! Who calls functions: keys, tokens of each mode, what they may call.

use ferry_testkit::{
    Direction,
    functions::{FunctionsSaid, FunctionsSocket, deployment},
    http::{self, Response},
    jwks_server::{Behaviour, JwksServer},
    jwt::{EC, ED, OTHER_ED, key_set},
    token, wait,
};
use serde_json::{Value, json};

use super::{Functions, SCHEMA};
use crate::support::options;

const SIGNING: &str = r#"
import { query, mutation } from "@ferry/server";
import { users } from "../schema";

export async function login(ctx, { sub, expires }) { return ctx.signJwt({ sub, role: "admin" }, expires); }
export async function whoami(ctx) { return ctx.user; }
export async function canSign(ctx) { return ctx.signJwt !== null; }
export async function secret(ctx) { return ctx.env.TOKEN ?? null; }
export const countUsers = query(async (ctx) => (await ctx.db.select().from(users)).length);
export const addUser = mutation(async (ctx, { name }) => ctx.db.insert(users).values({ name }).returning().get());
"#;

const FILES: &[(&str, &str)] = &[("schema.ts", SCHEMA), ("functions/index.ts", SIGNING)];

fn functions() -> Functions {
    Functions::of(options().env("FERRY_RATE_LIMIT_SCALE", "0"), FILES)
}

/// Deploys the same with these settings beside.
#[track_caller]
fn deploy_with(functions: &Functions, settings: &[(&str, Value)]) {
    let mut body = deployment(FILES);
    body["base"] = functions.admin("GET", "info", &Value::Null).json()["deployment"].clone();
    for (name, value) in settings {
        body[*name] = value.clone();
    }
    let answer = functions.admin("POST", "deploy", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn local() -> Functions {
    let functions = functions();
    deploy_with(&functions, &[("auth", json!({"mode": "local"}))]);
    functions
}

/// A call with the page's key and this bearer.
fn call(functions: &Functions, name: &str, args: &Value, bearer: &str) -> Response {
    let bearer = [("Authorization", bearer)];
    functions.page("s1").call_with(name, args, if bearer[0].1.is_empty() { &[] } else { &bearer })
}

#[track_caller]
fn user(functions: &Functions, token: &str) -> Value {
    let answer = call(functions, "whoami", &json!({}), &format!("Bearer {token}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"].clone()
}

/// Asserts that the bearer is refused as FUN-51 says, for this reason.
#[track_caller]
fn assert_unauthorized(answer: &Response, reason: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (401, "Unauthorized"));
    let told = format!(r#"Bearer error="invalid_token", error_description="{reason}""#);
    assert_eq!(answer.header("www-authenticate"), Some(told.as_str()));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
}

fn jwks(functions: &Functions, path: &str) -> Response {
    http::get(functions.address(), path).unwrap()
}

fn login(functions: &Functions, sub: &str, expires: &str) -> String {
    let args = json!({"sub": sub, "expires": expires});
    functions.page("s1").data("login", &args).as_str().expect("a token").to_owned()
}

// Verifies: FUN-50, FUN-51, FUN-53, FUN-54
#[test]
fn a_database_signs_tokens_that_its_public_keys_prove_and_that_outlive_a_rotation() {
    let functions = local();
    let database = functions.place.database.clone();
    let path = format!("/v1/databases/{database}/.well-known/jwks.json");
    let old = login(&functions, "ada", "1h");
    let seen = user(&functions, &old);
    assert_eq!((&seen["sub"], &seen["role"]), (&json!("ada"), &json!("admin")));
    let iss = seen["iss"].as_str().unwrap();
    assert!(iss.starts_with("http") && iss.ends_with(&format!("/v1/databases/{database}")), "{iss}");
    assert_eq!(seen["exp"].as_i64().unwrap() - seen["iat"].as_i64().unwrap(), 3600);

    let keys = jwks(&functions, &path);
    assert_eq!((keys.status, keys.header("cache-control")), (200, Some("public, max-age=300")));
    assert_eq!(keys.header("access-control-allow-origin"), Some("*"));
    // Another verifier, which knows nothing but the public keys.
    let elsewhere = functions.place.user.create_database("elsewhere");
    let settings = json!({"jwksJson": keys.text(), "issuer": iss, "audiences": ["*"]});
    let set = json!({"database": elsewhere, "settings": settings});
    functions.place.user.ferry("SetJwtSettings", &set).unwrap();
    let trial = functions.place.user.ferry("TestJwt", &json!({"database": elsewhere, "token": old})).unwrap();
    assert_eq!((&trial["ok"], &trial["sub"]), (&json!(true), &json!("ada")), "{trial}");

    let rotated = functions.admin("POST", "keys", &json!({"action": "rotate"}));
    assert_eq!(rotated.json(), json!({"kid": "fk_2"}));
    let new = login(&functions, "bob", "1h");
    assert_eq!(
        (user(&functions, &old)["sub"].clone(), user(&functions, &new)["sub"].clone()),
        (json!("ada"), json!("bob"))
    );
    let listed = jwks(&functions, &path).json();
    let kids: Vec<_> = listed["keys"].as_array().unwrap().iter().map(|key| &key["kid"]).collect();
    assert_eq!(kids, ["fk_1", "fk_2"]);
    let imported = functions.admin("POST", "keys", &json!({"action": "import", "jwk": EC.private_jwk()}));
    assert_eq!(imported.json(), json!({"kid": "edgepod-local-key"}));
    assert_eq!(user(&functions, &login(&functions, "eve", "1h"))["sub"], "eve");
    let wrong = functions.admin("POST", "keys", &json!({"action": "import", "jwk": {"d": "hush"}}));
    assert_eq!(wrong.status, 400, "{}", wrong.text());
    assert!(!wrong.text().contains("hush"), "{}", wrong.text());

    // Five seconds of grace, then no more.
    let short = login(&functions, "ada", "1s");
    let bearer = format!("bearer {short}");
    let expired = wait::until("the token expires", || {
        let answer = call(&functions, "whoami", &json!({}), &bearer);
        (answer.status != 200).then_some(answer)
    });
    assert_unauthorized(&expired, "Token expired");
    let functions = functions.restarted_with(|options| options);
    assert_eq!(user(&functions, &old)["sub"], "ada");
    for bad in ["1w", "0s", "367d"] {
        let refused = functions.page("s1").call("login", &json!({"sub": "ada", "expires": bad}));
        assert_eq!(refused.status, 500, "{}", refused.text());
        assert!(
            refused.json()["error"].as_str().unwrap().contains("expiresIn must be"),
            "{}",
            refused.text()
        );
    }
}

// Verifies: FUN-50, FUN-53
#[test]
fn keys_and_tokens_of_one_database_open_no_other() {
    let functions = local();
    let user = &functions.place.user;
    let other = user.create_database("other");
    let token_of_a = login(&functions, "ada", "1h");
    let key_of_a = [("X-Edgepod-Key", functions.key.as_str())];
    let send = |path: &str, headers: &[(&str, &str)]| {
        http::send(functions.address(), "POST", path, headers, b"{}").unwrap()
    };
    let foreign = send(&format!("/v1/databases/{other}/rpc/whoami"), &key_of_a);
    assert_eq!(foreign.status, 404, "{}", foreign.text());
    assert_eq!(foreign.json()["error"], "NOT_FOUND: database not found");

    // The other one has the same functions, and a key of the same name.
    let spec = json!({"kind": "publishable", "label": "page", "models": ["functions"]});
    let made = user.ferry("CreateApiKey", &json!({"database": other, "spec": spec})).unwrap();
    let key_of_b = made["value"].as_str().unwrap();
    let mut body = deployment(FILES);
    body["auth"] = json!({"mode": "local"});
    let bearer = format!("Bearer {}", user.token);
    let path = format!("/v1/databases/{other}/functions/deploy");
    let deployed = http::send(
        functions.address(),
        "POST",
        &path,
        &[("Authorization", &bearer)],
        body.to_string().as_bytes(),
    );
    assert_eq!(deployed.unwrap().status, 200);
    let bearer = format!("Bearer {token_of_a}");
    let refused = send("/rpc/whoami", &[("Ferry-Key", key_of_b), ("Authorization", &bearer)]);
    assert_unauthorized(&refused, "Invalid signature");
    let by_path = send(&format!("/v1/databases/{other}/rpc/whoami"), &[("Authorization", &bearer)]);
    assert_unauthorized(&by_path, "Invalid signature");
    // Alone it says by its issuer which database it means.
    let alone = send("/rpc/whoami", &[("Authorization", &bearer)]);
    assert_eq!((alone.status, &alone.json()["data"]["sub"]), (200, &json!("ada")), "{}", alone.text());
}

// Verifies: FUN-50, FUN-51, FUN-52
#[test]
fn without_auth_every_jwt_is_refused_and_nobody_signs() {
    let functions = functions();
    deploy_with(&functions, &[("auth", json!({"mode": "none"}))]);
    let path = format!("/v1/databases/{}/.well-known/jwks.json", functions.place.database);
    assert_eq!(
        (jwks(&functions, &path).status, jwks(&functions, "/.well-known/jwks.json").status),
        (404, 404)
    );
    assert_eq!(functions.page("s1").data("canSign", &json!({})), json!(false));
    assert_eq!(functions.page("s1").data("whoami", &json!({})), Value::Null);
    let jwt = ED.token(&json!({"sub": "ada", "exp": wait::unix_seconds() + 600}));
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let refused = call(&functions, "whoami", &json!({}), &format!("{scheme} {jwt}"));
        assert_unauthorized(&refused, "No JWKS URL or local JWKS configured");
    }
    assert_unauthorized(&call(&functions, "whoami", &json!({}), "Bearer nonsense"), "Invalid token");
    let unknown = [("X-Edgepod-Key", "ep_pk_unknown"), ("Authorization", "Bearer nonsense")];
    let key_first = http::send(functions.address(), "POST", "/rpc/whoami", &unknown, b"{}").unwrap();
    assert_eq!((key_first.status, key_first.header("www-authenticate")), (401, None));
}

// Verifies: FUN-50, FUN-51
#[test]
fn remote_tokens_are_judged_by_the_database_jwt_settings() {
    let functions = functions();
    let server = JwksServer::start(Behaviour::Refuse);
    let url = server.url();
    let functions = functions
        .restarted_with(|options| options.env("EDGEPOD_JWKS_URL", &url).env("FERRY_DEFAULT_DATABASE", "app"));
    let claims = json!({"iss": "https://id.example", "sub": "ada", "exp": wait::unix_seconds() + 600});
    let bearer = |jwt: String| format!("Bearer {jwt}");
    let down = call(&functions, "whoami", &json!({}), &bearer(ED.token(&claims)));
    assert_eq!(down.status, 503, "{}", down.text());
    assert_eq!(down.json()["error"], "UNAVAILABLE: cannot fetch JWKS.");
    assert!(down.header("retry-after").is_some());

    server.behave(Behaviour::Keys(vec![ED], None));
    let seen = wait::until("the keys are fetched", || {
        let answer = call(&functions, "whoami", &json!({}), &bearer(ED.token(&claims)));
        (answer.status == 200).then_some(answer)
    });
    assert_eq!(seen.json()["data"], claims, "nobody named a mode: JWT settings count");
    assert_unauthorized(
        &call(&functions, "whoami", &json!({}), &bearer(OTHER_ED.token(&claims))),
        "Invalid token",
    );
    let [good, other] = [&claims, &json!({"exp": 1})].map(|claims| ED.token(claims));
    let signature = other.rsplit('.').next().unwrap();
    let forged = format!("{}.{signature}", good.rsplit_once('.').unwrap().0);
    assert_unauthorized(&call(&functions, "whoami", &json!({}), &bearer(forged)), "Invalid signature");
    let mut late = claims.clone();
    late["exp"] = json!(wait::unix_seconds() - 60);
    assert_unauthorized(&call(&functions, "whoami", &json!({}), &bearer(ED.token(&late))), "Token expired");

    let settings = json!({"jwksJson": key_set(&[OTHER_ED]).to_string(), "issuer": "https://id.example",
        "audiences": ["*"], "ops": ["read"]});
    let set = json!({"database": functions.place.database, "settings": settings});
    functions.place.user.ferry("SetJwtSettings", &set).unwrap();
    deploy_with(&functions, &[("auth", json!({"mode": "remote"}))]);
    assert_eq!(user(&functions, &OTHER_ED.token(&claims)), claims);
    let written = call(&functions, "addUser", &json!({"name": "x"}), &bearer(OTHER_ED.token(&claims)));
    assert_eq!(written.status, 403, "the settings grant no write: {}", written.text());
}

// Verifies: FUN-52
#[test]
fn sync_tokens_and_secret_keys_call_what_they_name_and_write_if_they_may() {
    let functions = functions();
    let session = &functions.place.user;
    let database = &functions.place.database;
    let issue = |ops: &[&str]| {
        let wish = json!({"databaseId": database, "models": ["functions"], "ops": ops});
        session.ferry("IssueSyncToken", &wish).unwrap()["token"].as_str().unwrap().to_owned()
    };
    let whoami = session.ferry("Whoami", &json!({})).unwrap();
    let expected = json!({"sub": whoami["whoami"]["userId"]});
    let full = issue(&["read", "write"]);
    assert_eq!(user(&functions, &full), expected);
    let bearer = |token: &str| format!("Bearer {token}");
    let add = json!({"name": "Ada"});
    assert_eq!(call(&functions, "addUser", &add, &bearer(&full)).status, 200);

    let reading = issue(&["read"]);
    assert_eq!(call(&functions, "countUsers", &json!({}), &bearer(&reading)).json()["data"], 1);
    let refused = call(&functions, "addUser", &add, &bearer(&reading));
    assert_eq!(refused.status, 403, "{}", refused.text());

    let narrowed = token::attenuate(&full, &["fn=count"]);
    assert_eq!(call(&functions, "countUsers", &json!({}), &bearer(&narrowed)).status, 200);
    let refused = call(&functions, "whoami", &json!({}), &bearer(&narrowed));
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert!(refused.json()["error"].as_str().unwrap().starts_with("FORBIDDEN: "), "{}", refused.text());
    assert_eq!(
        call(&functions, "missing", &json!({}), &bearer(&narrowed)).status,
        404,
        "unknown comes first"
    );
    let pages = session.sync_token(database, Direction::Pull);
    assert_eq!(call(&functions, "whoami", &json!({}), &bearer(&pages)).status, 403, "of another model");
    assert_eq!(call(&functions, "whoami", &json!({}), &bearer(&session.token)).status, 403, "a session");

    let spec = json!({"kind": "secret", "label": "server", "models": ["functions"], "functions": ["whoami"]});
    let made = session.ferry("CreateApiKey", &json!({"database": database, "spec": spec})).unwrap();
    let secret = bearer(made["value"].as_str().unwrap());
    let send = |name: &str| {
        let headers = [("Authorization", secret.as_str())];
        http::send(functions.address(), "POST", &format!("/rpc/{name}"), &headers, b"{}").unwrap()
    };
    assert_eq!(send("whoami").json()["data"]["sub"], made["id"]);
    assert_eq!(send("countUsers").status, 403);
}

// Verifies: FUN-05
#[test]
fn secrets_reach_functions_and_nobody_else() {
    let functions = functions();
    assert_eq!(functions.page("s1").data("secret", &json!({})), Value::Null);
    deploy_with(&functions, &[("env", json!({"TOKEN": "hush-hush"}))]);
    assert_eq!(functions.page("s1").data("secret", &json!({})), "hush-hush");
    let info = functions.admin("GET", "info", &Value::Null);
    assert!(!info.text().contains("hush"), "{}", info.text());
    let functions = functions.restarted_with(|options| options);
    assert_eq!(functions.page("s1").data("secret", &json!({})), "hush-hush");
    deploy_with(&functions, &[("env", json!({"TOKEN": null}))]);
    assert_eq!(functions.page("s1").data("secret", &json!({})), Value::Null);
    assert!(!functions.hub().log().contains("hush"));
}

// Verifies: FUN-56, KEY-03
#[test]
fn a_revoked_key_closes_its_sockets_and_no_others() {
    let functions = functions();
    let session = &functions.place.user;
    let made: Vec<Value> = (0..2)
        .map(|_| {
            let spec = json!({"kind": "publishable", "label": "page", "models": ["functions"]});
            let wish = json!({"database": functions.place.database, "spec": spec});
            session.ferry("CreateApiKey", &wish).unwrap()
        })
        .collect();
    let open = |key: &Value| {
        let path = format!("/ws?key={}&sessionId=s", key["value"].as_str().unwrap());
        FunctionsSocket::open(functions.address(), &path, &[]).unwrap()
    };
    let (mut first, mut second) = (open(&made[0]), open(&made[1]));
    session.ferry("RevokeApiKey", &json!({"id": made[0]["id"]})).unwrap();
    assert_eq!(first.said(), FunctionsSaid::Closed(1008, "token revoked".to_owned()));
    second.send("ping");
    assert_eq!(second.said(), FunctionsSaid::Text("pong".to_owned()));
    let path = format!("/ws?key={}&sessionId=s", made[0]["value"].as_str().unwrap());
    let refused = FunctionsSocket::open(functions.address(), &path, &[]).unwrap_err();
    assert_eq!((refused.status, refused.text().as_str()), (401, "Unauthorized"));
}

// Verifies: FUN-50, FUN-51, FUN-54
#[test]
fn a_socket_is_told_whether_its_token_is_good() {
    let functions = local();
    let token = login(&functions, "ada", "1h");
    let mut socket = functions.page("s1").ferry_socket();
    socket.send(&json!({"type": "auth", "token": "nonsense"}).to_string());
    assert_eq!(socket.frame(), json!({"type": "auth", "ok": false, "error": "Invalid token"}));
    socket.send(&json!({"type": "auth", "token": token}).to_string());
    let good = socket.frame();
    assert_eq!((&good["type"], &good["ok"]), (&json!("auth"), &json!(true)));
    assert_eq!(good["exp"], user(&functions, &token)["exp"]);
    // When its users are known otherwise, what they opened ends.
    deploy_with(&functions, &[("auth", json!({"mode": "none"}))]);
    let closed =
        std::iter::repeat_with(|| socket.said()).find(|said| !matches!(said, FunctionsSaid::Text(_)));
    assert_eq!(closed, Some(FunctionsSaid::Closed(1008, "token revoked".to_owned())));
}

// Verifies: FUN-36
#[test]
fn what_a_socket_keeps_is_told_anew_when_it_is_another_users() {
    let functions = local();
    let token = login(&functions, "carl", "1h");
    let mut socket = functions.page("s1").ferry_socket();
    socket.send(&json!({"type": "sub", "id": "1", "fn": "whoami", "args": {}}).to_string());
    let first = socket.frame();
    assert_eq!((&first["type"], &first["id"], &first["data"]), (&json!("result"), &json!("1"), &Value::Null));
    socket.send(&json!({"type": "auth", "token": token}).to_string());
    assert_eq!(socket.frame()["ok"], true);
    let second = socket.frame();
    assert_eq!(
        (&second["type"], &second["id"], &second["data"]["sub"]),
        (&json!("result"), &json!("1"), &json!("carl"))
    );
}
