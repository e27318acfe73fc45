//! The fourth step: what changed is stored.

use std::collections::BTreeSet;

use super::{
    super::{
        history,
        store::{Owner, PastWrite, RecordStore},
    },
    PushCaller,
    merge::MergeFindings,
    read::PushedRecord,
};

/// What was stored.
pub(super) struct Written {
    /// Collections whose records changed.
    pub(super) collections: Vec<String>,
    /// A record of the push waits for its insert.
    pub(super) has_incomplete: bool,
    /// What the device needs of the changed records it has: they hold nothing new but what it wrote itself.
    pub(super) is_all_own: bool,
}

/// Stores the records that changed, in the order in which the push names them, and what merging found.
pub(super) fn write<'a, S: RecordStore>(
    store: &S,
    caller: &PushCaller<'a>,
    owner: &mut Owner,
    records: &mut [PushedRecord<'a>],
    found: &mut MergeFindings<'a>,
) -> Result<Written, S::Error> {
    let (name, app) = (caller.owner, caller.app);
    let (mut is_all_own, mut has_incomplete) = (true, false);
    let mut collections: BTreeSet<&str> = BTreeSet::new();
    let (mut rows, mut reborn) = (Vec::with_capacity(records.len()), Vec::new());
    for record in records.iter_mut() {
        let draft = &mut record.draft;
        if !draft.is_changed() || (record.was_purged && draft.is_dead()) {
            continue;
        }
        is_all_own &= draft.is_all_own() && !record.was_purged;
        if record.was_purged {
            draft.is_stored = false;
            reborn.push(draft.key);
        }
        let row = draft.finish(owner.next_cts(caller.now), std::mem::take(&mut record.entry).finish());
        has_incomplete |= row.row.incomplete;
        collections.insert(row.key.coll);
        rows.push(row);
    }
    if !rows.is_empty() {
        store.write(name, app, &rows)?;
    }
    if !reborn.is_empty() {
        store.unpurge(name, app, &reborn)?;
    }
    if !found.skew.is_empty() {
        store.add_skew(name, app, &found.skew)?;
    }
    write_stamps(store, caller, records)?;
    write_conflicts(store, caller, found, !rows.is_empty())?;
    let collections = collections.into_iter().map(str::to_owned).collect();
    Ok(Written { collections, has_incomplete, is_all_own })
}

fn write_stamps<S: RecordStore>(
    store: &S,
    caller: &PushCaller<'_>,
    records: &mut [PushedRecord<'_>],
) -> Result<(), S::Error> {
    let mut new = Vec::new();
    for PushedRecord { draft, stamps, .. } in records {
        if stamps.new.is_empty() {
            continue;
        }
        if let Some(oldest) = stamps.forget() {
            store.forget_stamps(caller.owner, caller.client, caller.app, draft.key, oldest)?;
        }
        new.extend(stamps.new.drain(..).map(|stamp| (draft.key, stamp)));
    }
    if new.is_empty() { Ok(()) } else { store.set_stamps(caller.owner, caller.client, caller.app, &new) }
}

fn write_conflicts<S: RecordStore>(
    store: &S,
    caller: &PushCaller<'_>,
    found: &mut MergeFindings<'_>,
    changes_something: bool,
) -> Result<(), S::Error> {
    if !found.lost.is_empty() {
        let client = history::client_fragment(caller.client);
        let past = found.lost.iter().map(|lost| {
            let loser = &lost.conflict.loser;
            PastWrite {
                key: lost.key,
                fragment: history::fragment(&lost.conflict.field, &loser.value, loser.at),
                client: client.clone(),
            }
        });
        let merged = store.were_merged(caller.owner, caller.app, &past.collect::<Vec<_>>())?;
        let new = found.lost.drain(..).zip(merged).filter(|(_, merged)| !merged);
        found.conflicts.extend(new.map(|(lost, _)| lost.conflict));
    }
    // What changed nothing was found before, and may have been decided since.
    if changes_something {
        found.conflicts.append(&mut found.ended);
    }
    if found.conflicts.is_empty() {
        return Ok(());
    }
    store.add_conflicts(caller.owner, caller.now, &found.conflicts)
}
