//! Times that the hub chose for a device's writes, by record and field: a push may hold hundreds of thousands of them.

use std::collections::HashMap;

use ferry_protocol::records::UnixNanos;

use super::super::store::Stamp;

/// A time that the hub chose.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chosen {
    /// What the device sent.
    pub(super) sent: Option<UnixNanos>,
    /// Digest of what it wrote, if it sent no time.
    pub(super) digest: i64,
    /// What the hub chose.
    pub(super) at: UnixNanos,
}

/// The stamps of one device for the records of a push.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    /// By place of the record and by field, in their order.
    chosen: HashMap<usize, HashMap<String, Vec<Chosen>>>,
    /// Those that this push adds.
    pub(super) new: Vec<Stamp>,
}

impl Stamps {
    /// Takes one that is stored.
    pub(super) fn take(&mut self, place: usize, stamp: &Stamp) {
        let chosen = Chosen { sent: stamp.sent, digest: stamp.digest, at: stamp.at };
        let fields = self.chosen.entry(place).or_default();
        match fields.get_mut(&stamp.field) {
            Some(held) => held.push(chosen),
            None => {
                fields.insert(stamp.field.clone(), vec![chosen]);
            }
        }
    }

    /// Adds one of this push.
    pub(super) fn add(&mut self, place: usize, stamp: Stamp) {
        self.take(place, &stamp);
        self.new.push(stamp);
    }

    /// Those of a field, the newest first.
    pub(super) fn of(&self, place: usize, field: &str) -> impl Iterator<Item = &Chosen> {
        let fields = self.chosen.get(&place);
        fields.and_then(|fields| fields.get(field)).into_iter().flatten().rev()
    }
}
