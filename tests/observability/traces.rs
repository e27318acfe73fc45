//! Traces: what is part of what, and what is told of it.

use std::collections::BTreeSet;

use ferry_testkit::collector::CollectedSpan;

use super::{Observed, PROXY_SPAN, PROXY_TRACE, observed};

impl Observed {
    /// The request with this name, of the hub's own beginning or another's.
    fn root(&self, name: &str) -> &CollectedSpan {
        let found = self.spans.iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.names()))
    }

    fn names(&self) -> BTreeSet<&str> {
        self.spans.iter().map(|span| &*span.name).collect()
    }

    /// The parts of a span that are called so.
    fn parts<'o>(&'o self, of: &CollectedSpan, name: &str) -> Vec<&'o CollectedSpan> {
        let (trace, parent) = (of.trace_id.clone(), of.span_id.clone());
        let is_part =
            |span: &&CollectedSpan| span.trace_id == trace && span.parent == parent && span.name == name;
        self.spans.iter().filter(is_part).collect()
    }

    /// Its one part that is called so, which lies within it.
    fn part<'o>(&'o self, of: &CollectedSpan, name: &str) -> &'o CollectedSpan {
        let parts = self.parts(of, name);
        assert_eq!(parts.len(), 1, "{name} of {of:?}: {:?}", self.spans);
        assert!(of.times.0 <= parts[0].times.0, "{of:?} {parts:?}");
        parts[0]
    }
}

// Verifies: OPR-80
#[test]
fn a_write_is_a_trace_from_its_request_to_the_fan_out() {
    let observed = observed();
    let request = observed.root("POST /v1/databases/{db}/events");
    assert_eq!((&*request.trace_id, &*request.parent, request.kind), (PROXY_TRACE, PROXY_SPAN, "SERVER"));
    let said = |key: &str| request.attributes.get(key).map(String::as_str);
    assert_eq!(said("http.request.method"), Some("POST"));
    assert_eq!(said("http.route"), Some("/v1/databases/{db}/events"));
    assert_eq!(said("http.response.status_code"), Some("201"));
    assert_eq!((said("ferry.model"), said("ferry.database")), (Some("events"), Some(&*observed.database)));
    assert!(said("http.request.body.size").unwrap().parse::<u64>().unwrap() > 100);
    observed.part(request, "auth");
    let hook = observed.part(request, "hook");
    let asked = observed.part(hook, "fetch");
    assert_eq!((asked.kind, &*asked.attributes["http.response.status_code"]), ("CLIENT", "200"));
    // The hook's own program may go on with the trace.
    let told = format!("00-{PROXY_TRACE}-{}-01", asked.span_id);
    assert_eq!(observed.hook_traceparent.as_deref(), Some(&*told));
    let waits = observed.parts(request, "mailbox");
    let groups = observed.parts(request, "group");
    assert!(!groups.is_empty() && waits.len() >= groups.len(), "{:?}", observed.spans);
    let group = groups.last().unwrap();
    assert_eq!(group.attributes["ferry.group.requests"], "1");
    let (commit, published) = (observed.part(group, "commit"), observed.part(group, "fan-out"));
    assert!(waits.last().unwrap().times.1 <= group.times.0 && group.times.0 <= commit.times.0);
    assert!(commit.times.1 <= published.times.0 && published.times.1 <= group.times.1);
    assert!(group.times.1 <= request.times.1);
}

// Verifies: OPR-80
#[test]
fn every_model_is_traced_and_so_is_what_it_asks_of_others() {
    let observed = observed();
    for (name, model) in [("events push", "events"), ("POST /sync/{appId}", "records")] {
        let request = observed.root(name);
        assert_eq!(request.attributes["ferry.model"], model);
        assert!(!observed.parts(request, "mailbox").is_empty(), "{name}");
        let group = observed.parts(request, "group");
        observed.part(group.last().unwrap(), "commit");
    }
    let ops = observed.root("POST /v1/databases/{db}/ops/append");
    observed.part(observed.parts(ops, "group").last().unwrap(), "fan-out");
    // A call that asks others before it writes.
    let calls: Vec<_> = observed.spans.iter().filter(|span| span.name == "function").collect();
    let call = calls.iter().find(|span| span.attributes["code.function.name"] == "outside").unwrap();
    // It begins again where it finds that it writes, and where it finds that it waits.
    for fetch in observed.parts(call, "fetch") {
        assert_eq!((fetch.kind, &*fetch.attributes["http.request.method"]), ("CLIENT", "GET"));
    }
    assert!(!observed.parts(call, "fetch").is_empty(), "{:?}", observed.spans);
    assert_eq!(observed.parts(call, "commit").len(), 1, "on a writer that it was lent: {:?}", observed.spans);
    let failed =
        calls.iter().find(|span| span.attributes["code.function.name"] == "insertThenThrow").unwrap();
    assert!(failed.is_error && !call.is_error);
    // A replica is pushed over a socket, and an RPC is called by its name.
    observed.root("pages push");
    let login = observed
        .spans
        .iter()
        .find(|span| span.attributes.get("rpc.method").is_some_and(|name| name == "Login"));
    let login = login.unwrap_or_else(|| panic!("{:?}", observed.names()));
    assert_eq!(login.name, "POST /ferry.admin.v1.AdminService/{method}");
    assert_eq!(login.attributes["http.response.status_code"], "401");
}

// Verifies: OPR-80
#[test]
fn a_caller_that_records_nothing_is_not_recorded() {
    let observed = observed();
    let reads = observed.spans.iter().filter(|span| span.name == "GET /v1/databases/{db}/events");
    // The other one was asked for without a trace, of a database that is not there.
    let statuses: Vec<&str> = reads.map(|span| &*span.attributes["http.response.status_code"]).collect();
    assert_eq!(statuses, ["404"]);
}

// Verifies: OPR-80
#[test]
fn traces_say_words_of_the_program_numbers_and_ids_alone() {
    let observed = observed();
    for secret in &observed.secrets {
        assert!(!observed.exported.contains(secret.as_str()), "exported: {secret:.16}…");
    }
    const TEXTS: [&str; 8] = [
        "http.request.method",
        "http.route",
        "ferry.model",
        "ferry.database",
        "ferry.hook",
        "code.function.name",
        "rpc.method",
        "rpc.connect_rpc.error_code",
    ];
    for span in &observed.spans {
        for (key, value) in &span.attributes {
            let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
            assert!(is_number || TEXTS.contains(&&**key), "{key} = {value}");
        }
        assert!(span.attributes.get("http.route").is_none_or(|route| route.starts_with('/')), "{span:?}");
    }
}
