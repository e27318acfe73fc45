//! The billing gate.

use std::{
    sync::{Arc, Mutex},
    thread,
};

use ferry_testkit::{
    serve::{Reply, Request, serve},
    wait,
};
use serde_json::json;

use super::{Records, insert};

/// What a service does that is ill.
const GARBAGE: &str = "not JSON";

/// A billing service whose answers the test sets.
struct Service {
    url: String,
    answer: Arc<Mutex<Reply>>,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Service {
    fn start(answer: Reply) -> Self {
        let (answer, seen) = (Arc::new(Mutex::new(answer)), Arc::new(Mutex::new(Vec::new())));
        let (says, heard) = (Arc::clone(&answer), Arc::clone(&seen));
        let address = serve(move |request| {
            heard.lock().unwrap().push(request.clone());
            says.lock().unwrap().clone()
        });
        Self { url: format!("http://{address}"), answer, seen }
    }

    fn says(active: bool) -> Reply {
        Reply::json(&json!({ "active": active }))
    }

    fn answer(&self, answer: Reply) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn records(&self, settings: &[&str]) -> Records {
        let options =
            crate::support::options().env("MANA_CREDITS_URL", &self.url).env("MANA_SERVICE_KEY", "s3cret");
        Records::of(settings.iter().fold(options, |options, setting| options.arg(*setting)).start())
    }
}

// A negative answer was kept for five minutes: who had just paid stayed locked out. Acceptance scenario 14.
// Verifies: REC-32
#[test]
fn unpaid_accounts_get_402_and_paid_ones_sync() {
    let service = Service::start(Service::says(false));
    let records = service.records(&[]);
    let body = json!({"clientId": "c", "changes": [insert("tasks", "t1", "x")]}).to_string();
    let refused = records.call("POST", "/sync/todo", "", &body);
    assert_eq!(refused.status, 402);
    let text = r#"{"error":"sync_inactive","message":"Sync is not active for this account. Activate it to continue."}"#;
    assert_eq!(refused.text(), text);
    assert_eq!(records.call("GET", "/sync/todo/pull?collection=tasks&since=", "", "").status, 402);
    assert_eq!(records.call("GET", "/sync/todo/stream", "", "").status, 402);
    let own = records.v1("GET", "/changes?app=todo", "");
    assert_eq!((own.status, &own.json()["error"]["code"]), (402, &json!("payment_required")));
    assert_eq!(service.asked(), 1, "the answer is kept");
    let asked = service.seen.lock().unwrap()[0].clone();
    let path = "/api/v1/internal/sync/status/u%5F";
    assert!(asked.method == "GET" && asked.path.starts_with(path), "{asked:?}");
    assert_eq!(asked.header("x-service-key"), Some("s3cret"));
    service.answer(Service::says(true));
    let paid = wait::until("a payment counts", || {
        Some(records.call("POST", "/sync/todo", "", &body)).filter(|answer| answer.status == 200)
    });
    assert_eq!(paid.status, 200);
}

// Verifies: REC-32
#[test]
fn a_failing_billing_service_lets_everyone_sync_unless_configured_otherwise() {
    let garbage = Reply::Answer(200, Vec::new(), GARBAGE.into());
    for (ill, fail, status) in [
        (garbage.clone(), "open", 200),
        (garbage, "closed", 402),
        (Reply::status(500), "open", 200),
        (Reply::Silence, "closed", 402),
    ] {
        let service = Service::start(ill.clone());
        let records = service.records(&[&format!("--records-billing-fail={fail}")]);
        thread::scope(|scope| {
            for n in 0..8 {
                let records = &records;
                scope.spawn(move || {
                    let answer = records.call("POST", "/sync/todo", &format!("c{n}"), "{}");
                    assert_eq!(answer.status, status);
                });
            }
        });
        assert_eq!(service.asked(), 1, "one request is under way at most: {ill:?}");
    }
}

// Verifies: REC-32
#[test]
fn a_stream_ends_when_its_account_lapses() {
    let service = Service::start(Service::says(true));
    let records = service.records(&["--records-billing-seconds=1"]);
    records.push("c", "", &json!([insert("tasks", "t1", "x")]));
    let mut stream = records.stream("");
    assert_eq!(stream.event().unwrap().name, "changes");
    // It lives on while the account is active, and when the service is ill.
    let asked = service.asked();
    wait::until("a stream asks again", || (service.asked() > asked + 1).then_some(()));
    service.answer(Reply::status(500));
    let asked = service.asked();
    wait::until("a stream asks again", || (service.asked() > asked).then_some(()));
    wait::until("a push goes through", || {
        (records.call("POST", "/sync/todo", "c", "{}").status == 200).then_some(())
    });
    service.answer(Service::says(false));
    let bye = stream.event().unwrap();
    assert_eq!((&*bye.name, &bye.data), ("bye", &json!({"reason": "payment_required"})));
    assert_eq!(stream.event(), None);
    assert_eq!(records.call("POST", "/sync/todo", "c", "{}").status, 402);
}
