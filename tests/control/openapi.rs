//! The document that the hub gives of its HTTP: its paths are the router's, both ways, and answers are as it says.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{BufReader, Write as _},
    net::SocketAddr,
    path::Path,
};

use ferry_testkit::http::{self, Response, read_body, read_head};
use serde_json::{Value, json};

use crate::support::Place;

/// Where the routes of a prefix are told apart, and what may stand there.
const ROUTERS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "routes.rs",
            "routes/owner.rs",
            "records/route.rs",
            "ops/route.rs",
            "ops/shim/mod.rs",
            "functions/route.rs",
        ],
    ),
    ("/v1/databases/-/events", &["events/api.rs"]),
    ("/v1/databases/-/records", &["records/api/mod.rs"]),
    ("/v1/databases/-/ops", &["ops/api/mod.rs"]),
    ("/v1/databases/-/functions", &["functions/route.rs"]),
    ("/v1/databases/-", &["routes/owner.rs", "pages/api/mod.rs", "functions/route.rs", "ops/route.rs"]),
    ("/v1/databases/-/pages", &["pages/api/mod.rs"]),
    ("/v1", &["routes.rs", "routes/owner.rs"]),
];
/// A word that no route has.
const ANY: &str = "some-name";
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

fn document(address: SocketAddr) -> Value {
    let answer = http::get(address, "/v1/openapi.json").unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    answer.json()
}

/// The paths of the document with their methods in upper case.
fn documented(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .map(|(path, methods)| {
            (path.clone(), methods.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect())
        })
        .collect()
}

/// Whether the hub has no such endpoint, or not with this method.
fn is_missing(answer: &Response) -> bool {
    let text = answer.text();
    let no_path = text.contains("no such endpoint") || text.trim() == "Not Found";
    answer.status == 405 || (answer.status == 404 && no_path)
}

/// Whether a method does something here: neither is it refused as such, nor is only an upgrade taken.
fn is_offered(answer: &Response) -> bool {
    let needs_upgrade = matches!(answer.status, 400 | 426) && answer.text().contains("WebSocket");
    !(is_missing(answer) || needs_upgrade || answer.status == 404)
}

/// A user with a database, and a session that administers it.
struct Asker {
    place: Place,
    authorization: String,
}

impl Asker {
    fn new() -> Self {
        let place = Place::new();
        let all =
            json!({"database_id": place.database, "ops": ["read", "write", "admin"], "ttl_seconds": 600});
        let token = place.user.ferry("IssueSyncToken", &all).unwrap();
        let authorization = format!("Bearer {}", token["token"].as_str().expect("a token"));
        Self { place, authorization }
    }

    fn ask(&self, method: &str, path: &str) -> Response {
        let headers = [("Authorization", self.authorization.as_str()), ("Content-Type", "application/json")];
        http::send(self.place.hub.address(), method, path, &headers, b"").unwrap()
    }

    /// How it is answered; the body of a refusal alone, since what is let in may be a stream without an end.
    fn try_out(&self, method: &str, path: &str) -> Response {
        let mut stream = http::connect(self.place.hub.address()).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nContent-Type: application/json\r\n\
             Content-Length: 0\r\nConnection: close\r\n\r\n",
            self.authorization
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut reader = BufReader::new(stream);
        let answer = read_head(&mut reader).unwrap();
        if answer.status < 400 { answer } else { read_body(&mut reader, answer, false).unwrap() }
    }
}

/// A documented path with something in place of its parameters.
fn filled(path: &str) -> String {
    let names = path.split('/').map(|name| match name {
        "{db}" => "-",
        "{provider}" => "github",
        "{method}" => "Whoami",
        name if name.starts_with('{') => ANY,
        name => name,
    });
    names.collect::<Vec<_>>().join("/")
}

// Verifies: OPR-76
#[test]
fn every_documented_request_has_a_route() {
    let asker = Asker::new();
    let document = document(asker.place.hub.address());
    let mut findings = Vec::new();
    for (path, methods) in documented(&document) {
        for method in METHODS {
            let answer = asker.try_out(method, &filled(&path));
            let (is_documented, has_no_keys) = (methods.contains(method), path.ends_with("/jwks.json"));
            let is_wrong = match is_documented {
                // Which a database without keys of its own does not have.
                true => is_missing(&answer) && !has_no_keys,
                false => is_offered(&answer),
            };
            if is_wrong {
                let what = if is_documented { "has no route" } else { "is not in the document" };
                findings.push(format!("{method} {path} {what}: {} {}", answer.status, answer.text().trim()));
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// The words in the code that tells these routes apart.
fn words(files: &[&str]) -> BTreeSet<String> {
    let mut words = BTreeSet::from([ANY.to_owned()]);
    for file in files {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../hub/src").join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for literal in code.split('"').skip(1).step_by(2) {
            for word in literal.split('/') {
                let is_plain = word.bytes().all(|byte| byte.is_ascii_lowercase() || b".-".contains(&byte));
                if !word.is_empty() && is_plain && word.len() < 24 {
                    words.insert(word.to_owned());
                }
            }
        }
    }
    words
}

/// Whether a documented path means this one.
fn means(template: &str, path: &str) -> bool {
    let (template, path): (Vec<&str>, Vec<&str>) = (template.split('/').collect(), path.split('/').collect());
    // The name of a function is whatever follows.
    let is_long = template.last() == Some(&"{function}") && path.len() > template.len();
    (template.len() == path.len() || is_long)
        && template
            .iter()
            .zip(&path)
            .all(|(is, found)| is == found || (is.starts_with('{') && !found.is_empty()))
}

// Verifies: OPR-76
#[test]
fn every_route_is_documented() {
    let asker = Asker::new();
    let documented = documented(&document(asker.place.hub.address()));
    let (mut findings, mut found) = (BTreeSet::new(), 0);
    let mut tried = BTreeSet::new();
    for (prefix, files) in ROUTERS {
        let words = words(files);
        let mut paths: Vec<String> = words.iter().map(|word| format!("{prefix}/{word}")).collect();
        for word in &words {
            for other in &words {
                paths.push(format!("{prefix}/{word}/{other}"));
            }
            paths.push(format!("{prefix}/{ANY}/{ANY}/{word}"));
            paths.push(format!("{prefix}/{word}/{ANY}/{ANY}"));
            for other in &words {
                paths.push(format!("{prefix}/{word}/{ANY}/{other}"));
            }
        }
        for path in paths {
            if !tried.insert(path.clone()) || is_missing_with_all_methods(&asker, &path) {
                continue;
            }
            found += 1;
            if !documented.keys().any(|template| means(template, &path)) {
                findings.insert(path);
            }
        }
    }
    assert!(found > 100, "{found} routes are few");
    assert!(findings.is_empty(), "these are answered, and no document tells of them: {findings:#?}");
}

/// Whether nobody answers at this path. A wrong method tells that somebody does.
fn is_missing_with_all_methods(asker: &Asker, path: &str) -> bool {
    let answer = asker.try_out("GET", path);
    is_missing(&answer) && answer.status != 405
}

// Verifies: OPR-76
#[test]
fn the_document_is_public_and_kept_until_it_changes() {
    let place = Place::new();
    let address = place.hub.address();
    let first = http::get(address, "/v1/openapi.json").unwrap();
    assert_eq!(first.json()["openapi"], "3.1.0");
    let tag = first.header("etag").expect("an ETag").to_owned();
    let again = http::send(address, "GET", "/v1/openapi.json", &[("If-None-Match", &tag)], b"").unwrap();
    assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(tag.as_str())));
    let other = http::send(address, "GET", "/v1/openapi.json", &[("If-None-Match", "\"x\"")], b"").unwrap();
    assert_eq!(other.status, 200);
}

/// What in `value` is not as `schema` says: of JSON Schema what the document uses.
fn wrong(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema =
            document.pointer(reference.trim_start_matches('#')).expect("what is referred to is there");
        return wrong(document, schema, value, place);
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = match &schema["type"] {
        Value::String(one) => vec![one.as_str()],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec![kind],
    };
    let mut found = Vec::new();
    if !allowed.contains(&kind) {
        found.push(format!("{place} is {kind}, not {allowed:?}"));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value))
        || schema.get("const").is_some_and(|one| one != value)
    {
        found.push(format!("{place} is {value}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            found.push(format!("{place}.{name} is missing"));
        }
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(name) {
            found.extend(wrong(document, schema, value, &format!("{place}.{name}")));
        }
    }
    for (at, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(wrong(document, &schema["items"], item, &format!("{place}[{at}]")));
    }
    found
}

// Verifies: OPR-76
#[test]
fn answers_are_as_the_document_says() {
    let asker = Asker::new();
    let address = asker.place.hub.address();
    let document = document(address);
    let headers = [("Authorization", asker.authorization.as_str()), ("Content-Type", "application/json")];
    let send = |method: &str, path: &str, body: &Value| {
        http::send(address, method, path, &headers, body.to_string().as_bytes()).unwrap()
    };
    let base = "/v1/databases/-";
    let events =
        json!({"clientId": "a", "sessionId": "b", "events": [{"name": "v1.Made", "args": {"x": 1}}]});
    let appended = send("POST", &format!("{base}/events?store=app"), &events);
    let record = send("PUT", &format!("{base}/records/todo/todos/1"), &json!({"title": "Buy milk"}));
    assert!(record.status < 300, "{}", record.text());
    let answers = [
        ("get", "/health", asker.ask("GET", "/health")),
        ("get", "/readyz", asker.ask("GET", "/readyz")),
        ("post", "/v1/databases/{db}/events", appended),
        ("get", "/v1/databases/{db}/events", asker.ask("GET", &format!("{base}/events?store=app"))),
        ("get", "/v1/databases/{db}/events/stores", asker.ask("GET", &format!("{base}/events/stores"))),
        (
            "get",
            "/v1/databases/{db}/events/stores/{store}",
            asker.ask("GET", &format!("{base}/events/stores/app")),
        ),
        (
            "get",
            "/v1/databases/{db}/records/changes",
            asker.ask("GET", &format!("{base}/records/changes?app=todo")),
        ),
        ("get", "/v1/databases/{db}/ops", asker.ask("GET", &format!("{base}/ops"))),
        ("get", "/v1/databases/{db}/pages/versions", asker.ask("GET", &format!("{base}/pages/versions"))),
        (
            "get",
            "/v1/databases/{db}/events/stores/{store}",
            asker.ask("GET", &format!("{base}/events/stores/none")),
        ),
        (
            "get",
            "/v1/databases/{db}/records/changes",
            asker.ask("GET", &format!("{base}/records/changes?limit=x")),
        ),
        ("get", "/v1/databases/{db}/file", http::get(address, "/v1/databases/app/file").unwrap()),
    ];
    let (mut findings, mut refused) = (Vec::new(), 0);
    for (method, path, answer) in answers {
        let told = &document["paths"][path][method]["responses"];
        let status = answer.status.to_string();
        let response = if told[&status].is_null() { &told["default"] } else { &told[&status] };
        refused += usize::from(told[&status].is_null());
        let response = match response["$ref"].as_str() {
            Some(reference) => document.pointer(reference.trim_start_matches('#')).unwrap(),
            None => response,
        };
        let schema = &response["content"]["application/json"]["schema"];
        assert!(schema.is_object(), "{method} {path} {status} has a schema: {}", answer.text());
        findings.extend(wrong(&document, schema, &answer.json(), &format!("{method} {path}")));
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert_eq!(refused, 3, "refusals are of one form");
}
