//! Clients that hold results and do what they are told: pages of EdgePod's wire, and sockets that keep results. Both break
//! their connection now and then, whatever is on its way.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ferry_testkit::{
    functions::{EdgePodClient, FunctionsSaid},
    random_sql::Dice,
};
use serde_json::{Value, json};

use super::world::Question;

/// How long a client listens before it looks whether it is to end.
const LISTEN: Duration = Duration::from_millis(200);

/// What a client shows for a question.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shown {
    Nothing,
    Data(Value),
    /// What it was told.
    Failure(String),
}

/// A client, as those see it who compare.
pub(super) struct Client {
    pub(super) name: String,
    pub(super) questions: Vec<Question>,
    /// By the place of the question.
    shown: Mutex<Vec<Shown>>,
    /// What it did last, for who reads a failure.
    notes: Mutex<VecDeque<String>>,
    is_over: AtomicBool,
}

/// Notes that are kept.
const NOTES: usize = 200;

impl Client {
    pub(super) fn new(name: String, questions: Vec<Question>) -> Arc<Self> {
        let shown = Mutex::new(vec![Shown::Nothing; questions.len()]);
        Arc::new(Self { name, questions, shown, notes: Mutex::default(), is_over: AtomicBool::new(false) })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Shown>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn shown(&self) -> Vec<Shown> {
        self.lock().clone()
    }

    fn show(&self, place: usize, shown: Shown) {
        self.lock()[place] = shown;
    }

    fn note(&self, text: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() == NOTES {
            notes.pop_front();
        }
        notes.push_back(text);
    }

    pub(super) fn notes(&self) -> String {
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.iter().map(|note| format!("{note}\n")).collect()
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }
}

/// A page: it asks over HTTP, and asks again for what a frame names. What failed it has no subscription to, and asks for
/// whenever it wakes.
pub(super) fn page(client: &Client, connection: &EdgePodClient, mut dice: Dice) {
    // The hashes that each answer named; `None`: it failed.
    let mut tables: Vec<Option<BTreeSet<String>>> = vec![None; client.questions.len()];
    let ask = |place: usize, tables: &mut Vec<Option<BTreeSet<String>>>| {
        let Question { function, args } = &client.questions[place];
        let answer = connection.call(function, args);
        client.note(format!(
            "{place} {} at {:?}: {}",
            answer.status,
            answer.header("ferry-seq"),
            answer.text()
        ));
        if answer.status == 200 {
            let body = answer.json();
            let hashes = body["_meta"]["t"].as_array().into_iter().flatten().filter_map(Value::as_str);
            tables[place] = Some(hashes.map(str::to_owned).collect());
            client.show(place, Shown::Data(body["data"].clone()));
        } else {
            tables[place] = None;
            client.show(place, Shown::Failure(answer.text()));
        }
    };
    let mut is_first = true;
    while !client.is_over() {
        let mut socket = connection.socket();
        client.note("a socket".to_owned());
        if std::mem::take(&mut is_first) {
            (0..client.questions.len()).for_each(|place| ask(place, &mut tables));
        }
        let mut frames = 1 + dice.below(12);
        while frames > 0 && !client.is_over() {
            let told: BTreeSet<String> = match socket.next_within(LISTEN) {
                FunctionsSaid::Text(text) => {
                    frames -= 1;
                    client.note(text.clone());
                    let frame: Value = serde_json::from_str(&text).expect("a frame is JSON");
                    let hashes = frame["tables"].as_array().into_iter().flatten().filter_map(Value::as_str);
                    hashes.map(str::to_owned).collect()
                }
                FunctionsSaid::Nothing => {
                    frames = if dice.one_in(10) { 0 } else { frames };
                    BTreeSet::new()
                }
                FunctionsSaid::Closed(..) | FunctionsSaid::Lost => break,
            };
            for place in 0..client.questions.len() {
                if tables[place].as_ref().is_none_or(|known| !known.is_disjoint(&told)) {
                    ask(place, &mut tables);
                }
            }
        }
        // Between two sockets a page may ask, too.
        if dice.one_in(3) && !dice.one_in(client.questions.len() + 1) {
            ask(dice.below(client.questions.len()), &mut tables);
        }
    }
}

/// A result that is told as stale, and its hash; `None`: there is none for now.
fn fetch(connection: &EdgePodClient, question: &Question, seq: &Value) -> Option<(Value, String)> {
    let headers = [("Ferry-Min-Seq", &*seq.to_string()), ("Ferry-Reactive", "false")];
    let answer = connection.call_with(&question.function, &question.args, &headers);
    let body = answer.json();
    let hash = body["_meta"]["hash"].as_str().filter(|_| answer.status == 200)?;
    Some((body["data"].clone(), hash.to_owned()))
}

/// A socket that is sent the results.
pub(super) fn subscriber(client: &Client, connection: &EdgePodClient, mut dice: Dice) {
    let mut hashes: BTreeMap<usize, String> = BTreeMap::new();
    while !client.is_over() {
        let mut socket = connection.ferry_socket();
        let subscribe = |place: usize, known: Option<&String>| {
            let Question { function, args } = &client.questions[place];
            let mut frame = json!({ "type": "sub", "id": place.to_string(), "fn": function, "args": args });
            if let Some(known) = known {
                frame["known"] = known.as_str().into();
            }
            frame.to_string()
        };
        for place in 0..client.questions.len() {
            socket.send(&subscribe(place, hashes.get(&place)));
        }
        let mut frames = client.questions.len() + dice.below(60);
        while frames > 0 && !client.is_over() {
            let text = match socket.next_within(LISTEN) {
                FunctionsSaid::Text(text) => text,
                FunctionsSaid::Nothing => continue,
                FunctionsSaid::Closed(..) | FunctionsSaid::Lost => break,
            };
            frames -= 1;
            let frame: Value = serde_json::from_str(&text).expect("a frame is JSON");
            let Some(place) = frame["id"].as_str().and_then(|id| id.parse().ok()) else { continue };
            match frame["type"].as_str() {
                Some("result") => {
                    let hash = frame["hash"].as_str().unwrap_or_default().to_owned();
                    if frame["same"] == true {
                        assert_eq!(hashes.get(&place), Some(&hash), "{}: told `same`: {text}", client.name);
                    } else {
                        client.show(place, Shown::Data(frame["data"].clone()));
                        hashes.insert(place, hash);
                    }
                }
                Some("error") => {
                    hashes.remove(&place);
                    let is_for_now = matches!(frame["status"].as_u64(), Some(503 | 504));
                    client.show(place, Shown::Failure(text));
                    // There was no room for the run, which says nothing of its result: it is asked for again.
                    if is_for_now {
                        socket.send(&subscribe(place, None));
                    }
                }
                // It may be too large for a frame, and would be told as stale for ever.
                Some("stale") => match fetch(connection, &client.questions[place], &frame["seq"]) {
                    Some((data, hash)) => {
                        client.show(place, Shown::Data(data));
                        hashes.insert(place, hash);
                    }
                    None => {
                        hashes.remove(&place);
                        socket.send(&subscribe(place, None));
                    }
                },
                _ => {}
            }
        }
    }
}
