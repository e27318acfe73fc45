//! Clients and commits in a random order: nobody holds a result that changed without having been told.

use super::*;

/// A database of some counters, and queries that add some up: whatever happens in which order, who was not told holds what a
/// fresh run gives. Each counter is a table of its own, or they are rows of one table.
// Verifies: FUN-34, FUN-35
#[test]
fn no_push_means_that_a_fresh_run_equals_what_is_held() {
    for seed in 1..400_u64 {
        for counters in [Counters::Tables, Counters::Rows] {
            simulate(seed, counters);
        }
    }
}

struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[derive(Clone, Copy)]
enum Counters {
    Tables,
    Rows,
}

const TABLES: [&str; 4] = ["a", "b", "c", "d"];

impl Counters {
    fn reads(self, counters: &[usize]) -> Reads {
        match self {
            Self::Tables => whole(&counters.iter().map(|counter| TABLES[*counter]).collect::<Vec<_>>()),
            Self::Rows => counters.iter().map(|counter| one_row(*counter)).collect(),
        }
    }

    fn write(self, counter: usize, draw: &mut Draw) -> Vec<TableWrite> {
        match self {
            Self::Rows if draw.below(6) > 0 => {
                let image: RowImage = [RowValue::Other, RowValue::ColumnKey(number(counter))].into();
                vec![TableWrite { table: "rows".into(), rows: RowsChanged::Of([image].into()) }]
            }
            Self::Rows => writes(&["rows"]),
            Self::Tables => writes(&[TABLES[counter]]),
        }
    }

    /// Whether a page asks for a query again that is told of this table: what it may ever have read it by.
    fn is_met(self, query: usize, table: &str) -> bool {
        match self {
            Self::Tables => table == TABLES[query] || table == TABLES[(query + 1) % 4],
            Self::Rows => table == "rows",
        }
    }
}

/// Query q reads counter q, and counter q + 1 where that of q is odd: what it depends on changes with the rows. The results
/// are small numbers, so that a change often gives the same one.
fn answer(rows: &[u64; 4], query: usize) -> (Vec<usize>, u64) {
    let next = (query + 1) % 4;
    let odd = rows[query] % 2 == 1;
    let reads = if odd { vec![query, next] } else { vec![query] };
    (reads, 1 + (rows[query] / 2 + if odd { rows[next] } else { 0 }) % 3)
}

/// Of each session and query: the hash that it holds; `None`: it knows that it must ask again.
type Held = HashMap<(u64, usize), Option<u64>>;

fn hear(live: &mut Live, held: &mut Held, counters: Counters, now_ms: u64) {
    for output in live.take_outputs(now_ms) {
        let LiveOutput::Invalidate { socket, tables, .. } = output else { continue };
        for ((session, query), hash) in held.iter_mut() {
            if *session == socket.0 && tables.iter().any(|table| counters.is_met(*query, table)) {
                *hash = None;
            }
        }
    }
}

fn simulate(seed: u64, counters: Counters) {
    let mut draw = Draw(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut history = vec![[0_u64; 4]];
    let mut live = Live::new(Seq(0), SessionLimits { subscriptions: 100, sockets: 2 });
    let mut held = Held::new();
    let mut running = Vec::new();
    let mut now_ms = 0;
    for session in 0..3 {
        live.connect(&format!("s{session}").into(), SocketId(session), 0);
    }
    let run = |live: &mut Live, (id, key, seq): (QueryId, QueryKey, u64), history: &[[u64; 4]], now_ms| {
        let (reads, hash) = answer(&history[seq as usize], key.function.parse().expect("a number"));
        let evaluated = Evaluated { reads: counters.reads(&reads), ..evaluated(&[], hash, seq) };
        live.evaluated(id, &evaluated, now_ms);
    };
    for _ in 0..60 {
        now_ms += draw.below(15);
        let seq = history.len() as u64 - 1;
        match draw.below(5) {
            0 | 1 => {
                let mut rows = history[seq as usize];
                let counter = draw.below(4) as usize;
                rows[counter] += 1;
                history.push(rows);
                live.committed(Seq(seq + 1), &counters.write(counter, &mut draw), &[], now_ms);
            }
            2 => {
                // A client asks; its answer may have been made some commits ago.
                let (session, query) = (draw.below(3), draw.below(4) as usize);
                let seq = seq - draw.below(history.len().min(3) as u64);
                let (reads, hash) = answer(&history[seq as usize], query);
                let (session_id, function) = (format!("s{session}"), query.to_string());
                let registration = registration(&session_id, &function, &[], hash, seq);
                live.register(Registration { reads: counters.reads(&reads), ..registration }, now_ms);
                held.insert((session, query), Some(hash));
            }
            3 => running.extend(live.take_due().into_iter().map(|(id, key, ())| (id, key, seq))),
            _ if !running.is_empty() => {
                let due = running.remove(draw.below(running.len() as u64) as usize);
                if draw.below(8) == 0 {
                    live.not_run(due.0, None, now_ms);
                } else {
                    run(&mut live, due, &history, now_ms);
                }
            }
            _ => {}
        }
        hear(&mut live, &mut held, counters, now_ms);
    }
    let seq = history.len() as u64 - 1;
    for _ in 0..20 {
        running.extend(live.take_due().into_iter().map(|(id, key, ())| (id, key, seq)));
        running.drain(..).for_each(|due| run(&mut live, due, &history, now_ms));
        now_ms += 1000;
        hear(&mut live, &mut held, counters, now_ms);
    }
    for ((session, query), hash) in &held {
        let fresh = answer(history.last().expect("begins with one"), *query).1;
        assert!(
            hash.is_none_or(|hash| hash == fresh),
            "seed {seed}: session {session} was not told of query {query}"
        );
    }
}
