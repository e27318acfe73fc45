//! A collector that is slow, away, or does not want what it is sent: nobody waits for it.

use ferry_testkit::{Hub, collector::Collector, http, serve::Reply, wait};

use crate::support::options;

/// What became of spans, by `/metrics`.
fn spans(hub: &Hub, result: &str) -> u64 {
    let metrics = http::get(hub.address(), "/metrics").unwrap().text();
    let name = format!("ferry_trace_spans_total{{result=\"{result}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)).map_or(0, |count| count.parse().unwrap())
}

fn traced(url: &str) -> Hub {
    options().arg(format!("--otlp-endpoint={url}")).arg("--otlp-sample=1").start()
}

// Verifies: OPR-80
#[test]
fn a_collector_that_never_answers_costs_bounded_memory_and_no_request_its_time() {
    let collector = Collector::start();
    collector.answer(|_| Reply::Silence);
    let mut hub = traced(&collector.url());
    let ask = |times: usize| (0..times).for_each(|_| drop(http::get(hub.address(), "/healthz").unwrap()));
    ask(10);
    let (took, ()) = wait::timed(|| ask(2_500));
    // 10 s is what one exchange with the collector may take.
    assert!(took.as_secs() < 60, "{took:?}");
    let dropped =
        wait::until("some spans are dropped", || Some(spans(&hub, "dropped")).filter(|count| *count > 400));
    assert!(dropped < 2_700, "{dropped}");
    assert_eq!(spans(&hub, "exported"), 0);
    // Nor does the end of the hub wait for it.
    let (took, ended) = wait::timed(|| hub.stop());
    assert!(ended.success() && took.as_secs() < 9, "{took:?}");
    let told = hub.log().matches("the collector takes no traces").count();
    assert!(told <= 1, "{}", hub.log());
}

// Verifies: OPR-80
#[test]
fn a_collector_that_comes_back_gets_what_waited_and_the_log_tells_both_once() {
    let collector = Collector::start();
    collector.answer(|_| Reply::status(503));
    let hub = traced(&collector.url());
    http::get(hub.address(), "/healthz").unwrap();
    wait::until("it is told", || hub.log().contains("the collector takes no traces").then_some(()));
    http::get(hub.address(), "/readyz").unwrap();
    collector.answer(|_| Reply::status(200));
    wait::until("both arrive", || {
        let names: Vec<String> = collector.spans().into_iter().map(|span| span.name).collect();
        (names.contains(&"GET /healthz".to_owned()) && names.contains(&"GET /readyz".to_owned()))
            .then_some(())
    });
    wait::until("it is counted", || (spans(&hub, "exported") >= 2).then_some(()));
    let log = hub.log();
    let told = |text: &str| log.matches(text).count();
    assert_eq!((told("takes no traces"), told("takes traces again")), (1, 1), "{log}");
}

// Verifies: OPR-80
#[test]
fn what_a_collector_did_not_take_yet_is_sent_once_more_when_the_hub_stops() {
    let collector = Collector::start();
    collector.answer(|_| Reply::status(503));
    let mut hub = traced(&collector.url());
    http::get(hub.address(), "/healthz").unwrap();
    wait::until("it is told", || hub.log().contains("the collector takes no traces").then_some(()));
    collector.answer(|_| Reply::status(200));
    assert!(hub.stop().success());
    let names: Vec<String> = collector.spans().into_iter().map(|span| span.name).collect();
    assert!(names.contains(&"GET /healthz".to_owned()), "{names:?}");
}

// Verifies: OPR-80
#[test]
fn what_a_collector_does_not_want_is_counted_and_not_sent_again() {
    let collector = Collector::start();
    collector.answer(|_| Reply::status(401));
    let hub = traced(&collector.url());
    http::get(hub.address(), "/healthz").unwrap();
    wait::until("it is counted", || (spans(&hub, "rejected") > 0).then_some(()));
    assert!(hub.log().contains("otlp_headers"), "{}", hub.log());
    // It takes a request but for one span: field 1 of field 1, the number 1.
    collector.answer(|_| Reply::Answer(200, Vec::new(), vec![0x0a, 0x02, 0x08, 0x01]));
    let before = spans(&hub, "rejected");
    wait::until("one of a batch is rejected", || {
        http::get(hub.address(), "/healthz").unwrap();
        (spans(&hub, "rejected") > before && spans(&hub, "exported") > 0).then_some(())
    });
}

// What is off costs nothing, and says nothing.
// Verifies: OPR-80
#[test]
fn nothing_is_traced_without_a_collector() {
    let hub = options().start();
    let headers = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
    http::send(hub.address(), "GET", "/healthz", &headers, b"").unwrap();
    wait::until("the request is logged", || hub.log().contains("/healthz").then_some(()));
    assert!(!hub.log().contains("trace_id"), "{}", hub.log());
    let metrics = http::get(hub.address(), "/metrics").unwrap().text();
    assert!(!metrics.contains("ferry_trace_spans_total"));
}
