//! A text as yrs holds it. Ids of clients are handed in: nothing here draws randomness or reads a clock.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use yrs::{
    ClientID, Doc, GetString, OffsetKind, Options, ReadTxn, StateVector, Text, TextRef, Transact, Update,
    updates::decoder::Decode,
};

use super::update::{self, BadUpdate, CLIENT_MAX, ROOT, UpdateShape};

/// Client of a document that is only read.
const READER: u64 = 0;

/// Why a text cannot be edited so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum BadSplice {
    /// It reaches behind the end of the text.
    OutOfBounds,
    /// It cuts a character in two.
    InsideCharacter,
}

/// A text and its history.
pub(in crate::ops) struct Document {
    doc: Doc,
    text: TextRef,
    /// There may be characters of two UTF-16 units.
    has_pairs: bool,
    /// By client: how many of its clocks are in the document.
    clocks: HashMap<u64, u64>,
    /// Updates that rest on what is not there yet, by client and clock that the first of it needs, and by number.
    waiting: BTreeMap<(u64, u64, i64), Waiting>,
}

struct Waiting {
    shape: UpdateShape,
    update: Vec<u8>,
}

impl Document {
    /// An empty text that is only read.
    pub(in crate::ops) fn reader() -> Self {
        Self::new(READER)
    }

    /// An empty text that is edited by `client`.
    pub(in crate::ops) fn new(client: u64) -> Self {
        let guid: Arc<str> = Arc::from("");
        let mut options = Options::with_guid_and_client_id(guid, ClientID::new(client & CLIENT_MAX));
        options.offset_kind = OffsetKind::Utf16;
        let doc = Doc::with_options(options);
        let text = doc.get_or_insert_text(ROOT);
        Self { doc, text, has_pairs: false, clocks: HashMap::new(), waiting: BTreeMap::new() }
    }

    /// Takes in the update with number `seq`, or keeps it until what it rests on is there. One that is no update of a
    /// text changes nothing.
    pub(in crate::ops) fn apply(&mut self, seq: i64, update: &[u8]) {
        let Ok(shape) = update::check(update) else { return };
        if let Some(missing) = self.missing(&shape) {
            self.wait(missing, seq, Waiting { shape, update: update.to_owned() });
            return;
        }
        let mut ready = vec![(seq, Waiting { shape, update: update.to_owned() })];
        while let Some((_, next)) = ready.pop() {
            self.integrate(&next);
            for (client, ..) in &next.shape.brings {
                self.take_ready(*client, &mut ready);
            }
        }
    }

    fn wait(&mut self, (client, clock): (u64, u64), seq: i64, waiting: Waiting) {
        self.waiting.insert((client, clock, seq), waiting);
    }

    /// Moves what waits for no more than there is of `client`.
    fn take_ready(&mut self, client: u64, ready: &mut Vec<(i64, Waiting)>) {
        let there = self.clocks.get(&client).copied().unwrap_or(0);
        let due: Vec<_> = self
            .waiting
            .range((client, 0, i64::MIN)..=(client, there, i64::MAX))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let Some(waiting) = self.waiting.remove(&key) else { continue };
            match self.missing(&waiting.shape) {
                Some(missing) => self.wait(missing, key.2, waiting),
                None => ready.push((key.2, waiting)),
            }
        }
    }

    /// The first thing that an update rests on and that neither is there nor comes with it.
    fn missing(&self, shape: &UpdateShape) -> Option<(u64, u64)> {
        let there = |client: &u64| self.clocks.get(client).copied().unwrap_or(0);
        shape.needs.iter().copied().find(|(client, clocks)| {
            let own = shape.brings.iter().find(|(brought, ..)| brought == client);
            let with_it = own.filter(|(_, start, _)| *start <= there(client)).map_or(0, |(.., end)| *end);
            *clocks > there(client).max(with_it)
        })
    }

    fn integrate(&mut self, next: &Waiting) {
        let Ok(decoded) = Update::decode_v1(&next.update) else { return };
        self.has_pairs = self.has_pairs || may_have_pairs(&next.update);
        // What is wrong in itself is left out: every store that has it leaves it out.
        if self.doc.transact_mut().apply_update(decoded).is_err() {
            return;
        }
        self.brought(&next.shape);
    }

    fn brought(&mut self, shape: &UpdateShape) {
        for (client, _, end) in &shape.brings {
            let there = self.clocks.entry(*client).or_default();
            *there = (*there).max(*end);
        }
    }

    /// What is there of the history, as one update.
    pub(in crate::ops) fn state(&self) -> Vec<u8> {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    /// Numbers of the updates that wait, and their bytes.
    pub(in crate::ops) fn waiting(&self) -> (Vec<i64>, usize) {
        let mut seqs: Vec<i64> = self.waiting.keys().map(|(.., seq)| *seq).collect();
        seqs.sort_unstable();
        (seqs, self.waiting.values().map(|waiting| waiting.update.len()).sum())
    }

    /// What it reads.
    pub(in crate::ops) fn read(&self) -> String {
        self.text.get_string(&self.doc.transact())
    }

    /// Edits it: at, how many to delete, what to insert, in UTF-16 units, one after the other. Answers the update.
    pub(in crate::ops) fn splice(&mut self, edits: &[(u32, u32, String)]) -> Result<Vec<u8>, BadSplice> {
        let mut transaction = self.doc.transact_mut();
        for (at, delete, insert) in edits {
            let end = at.checked_add(*delete).ok_or(BadSplice::OutOfBounds)?;
            if end > self.text.len(&transaction) {
                return Err(BadSplice::OutOfBounds);
            }
            if self.has_pairs && !are_boundaries(&self.text.get_string(&transaction), &[*at, end]) {
                return Err(BadSplice::InsideCharacter);
            }
            if *delete > 0 {
                self.text.remove_range(&mut transaction, *at, *delete);
            }
            if !insert.is_empty() {
                self.has_pairs = self.has_pairs || may_have_pairs(insert.as_bytes());
                self.text.insert(&mut transaction, *at, insert);
            }
        }
        let update = transaction.encode_update_v1();
        drop(transaction);
        if let Ok(shape) = update::check(&update) {
            self.brought(&shape);
        }
        Ok(update)
    }
}

/// Whether a character beyond U+FFFF may stand in `bytes`: in UTF-8 it begins with F0 to F4.
fn may_have_pairs(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| *byte >= 0xf0)
}

fn are_boundaries(text: &str, ats: &[u32]) -> bool {
    let mut unit = 0;
    let mut inside = Vec::new();
    for c in text.chars() {
        if c.len_utf16() == 2 {
            inside.push(unit + 1);
        }
        unit += u32::try_from(c.len_utf16()).expect("BUG: one or two");
    }
    ats.iter().all(|at| inside.binary_search(at).is_err())
}

/// Whether `update` is one of a text.
pub(super) fn check(update: &[u8]) -> Result<(), BadUpdate> {
    update::check(update)?;
    Update::decode_v1(update).map(drop).map_err(|_| BadUpdate::Malformed)
}
