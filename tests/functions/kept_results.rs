//! Results that are kept for others: whose they may become, and which commit they show.

use std::{sync::mpsc::channel, thread, time::Duration};

use ferry_testkit::{
    functions::FunctionsSaid,
    serve::{Reply, serve},
};
use serde_json::{Value, json};

use super::{FUNCTIONS, Functions, USERS};

// Verifies: FUN-33, FUN-52
#[test]
fn a_result_that_was_made_without_the_right_to_write_is_nobody_elses() {
    let functions = Functions::with(
        &[],
        &format!(
            "{FUNCTIONS}\nexport async function visit(ctx) {{\n\
             try {{ await ctx.db.insert(users).values({{ name: \"visit\" }}); return \"wrote\"; }} catch {{ return \"refused\"; }}\n}}"
        ),
    );
    let refused = functions.admin("POST", "run", &json!({"fn": "visit", "readOnly": true}));
    assert_eq!(refused.json()["data"], "refused", "{}", refused.text());
    let page = functions.page("s1");
    assert_eq!(page.data("visit", &json!({})), "wrote");
    assert_eq!(page.data("countUsers", &json!({})), 1);
}

// Verifies: FUN-18, FUN-24
#[test]
fn an_answer_that_is_kept_under_a_key_shows_the_commit_that_was_read() {
    let ((arrived, has_arrived), (go, may_go)) = (channel::<()>(), channel::<()>());
    let held = std::sync::Mutex::new((arrived, may_go));
    let address = serve(move |_| {
        let held = held.lock().unwrap();
        held.0.send(()).unwrap();
        held.1.recv_timeout(Duration::from_secs(20)).unwrap();
        Reply::json(&json!({}))
    });
    let functions = Functions::with(
        &[&format!("--functions-fetch-allow={address}")],
        &format!(
            "{FUNCTIONS}\nexport async function slow(ctx, {{ url }}) {{\n\
             const {{ length }} = await ctx.db.select().from(users); await fetch(url); return length;\n}}"
        ),
    );
    let page = functions.page("s1");
    let mut socket = page.socket();
    let args = json!({ "url": format!("http://{address}/") });
    let call = || page.call_with("slow", &args, &[("Idempotency-Key", "k1")]);
    let (answer, written) = thread::scope(|scope| {
        let slow = scope.spawn(call);
        has_arrived.recv_timeout(Duration::from_secs(20)).expect("the function has read and fetches");
        let written = functions.page("s2").call("createUser", &json!({"name": "ann"}));
        go.send(()).unwrap();
        (slow.join().unwrap(), written)
    });
    assert_eq!(answer.json()["data"], 0, "{}", answer.text());
    let seq =
        |answer: &ferry_testkit::http::Response| answer.header("ferry-seq").unwrap().parse::<u64>().unwrap();
    assert!(seq(&answer) < seq(&written), "the answer does not show that commit");
    let told = socket.said();
    assert!(matches!(&told, FunctionsSaid::Text(text) if text.contains(USERS)), "{told:?}");
    let again = call();
    assert_eq!((again.json()["data"].clone(), seq(&again)), (json!(0), seq(&answer)), "nothing runs again");
}

// Verifies: FUN-33
#[test]
fn a_key_that_was_drawn_is_nobody_elses() {
    let functions = Functions::with(
        &[],
        "export async function draw(ctx, { name, namedCurve }) {\n\
         const pair = await crypto.subtle.generateKey({ name, namedCurve }, true, [\"sign\", \"verify\"]);\n\
         return (await crypto.subtle.exportKey(\"jwk\", pair.privateKey)).d;\n}",
    );
    let page = functions.page("s1");
    for args in [json!({"name": "ECDSA", "namedCurve": "P-256"}), json!({"name": "Ed25519"})] {
        let drawn: Vec<Value> = (0..2).map(|_| page.data("draw", &args)).collect();
        assert!(drawn[0].is_string() && drawn[0] != drawn[1], "{args}");
    }
}
