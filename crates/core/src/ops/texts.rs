//! Texts that a writer has in hand, so that an edit costs what it changes and not what the text holds.

use super::merge::text::{BadSplice, Document, catch_up, load};
use crate::sql::Sql;

/// Texts in hand at once; the one longest unused makes room.
const TEXTS_MAX: usize = 8;

const NEWEST: &str = "SELECT text_seq FROM _ferry_op_fields WHERE entity = ?1 AND field = ?2";
const ID_AT: &str = "SELECT id FROM _ferry_ops WHERE op_seq = ?1";

/// Documents of one writer, by entity and field.
pub struct Texts {
    client: u64,
    /// The one longest unused first.
    texts: Vec<Held>,
}

struct Held {
    entity: String,
    field: String,
    document: Document,
    /// Number and id of the newest update in it; empty before the first.
    newest: (i64, String),
}

impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Texts").field("client", &self.client).field("held", &self.texts.len()).finish()
    }
}

impl Texts {
    /// None yet. `client` is the id by which yrs tells writers apart: drawn anew at every start (OPS-24), and after an
    /// op of a text left the log.
    #[must_use]
    pub const fn new(client: u64) -> Self {
        Self { client, texts: Vec::new() }
    }

    /// Edits a text; answers the update. The op that holds it is told by [`Self::wrote`].
    pub(super) fn splice<S: Sql>(
        &mut self,
        sql: &S,
        (entity, field): (&str, &str),
        edits: &[(u32, u32, String)],
    ) -> Result<Result<Vec<u8>, BadSplice>, S::Error> {
        let mut held = self.take(sql, entity, field)?;
        let update = held.document.splice(edits);
        // Until its op is written nothing vouches for it; after a refused edit the document holds a part of it.
        held.newest = (i64::MAX, String::new());
        if update.is_ok() {
            if self.texts.len() >= TEXTS_MAX {
                self.texts.remove(0);
            }
            self.texts.push(held);
        }
        Ok(update)
    }

    /// The last update of [`Self::splice`] is the op `id` with number `seq`. If that is rolled back, the text is read
    /// anew when it is next edited.
    pub(super) fn wrote(&mut self, seq: i64, id: &str) {
        if let Some(held) = self.texts.last_mut() {
            held.newest = (seq, id.to_owned());
        }
    }

    /// The text as the log holds it.
    fn take<S: Sql>(&mut self, sql: &S, entity: &str, field: &str) -> Result<Held, S::Error> {
        let newest =
            sql.first(NEWEST, &[entity.into(), field.into()], |row| Ok(row.integer(0)?))?.unwrap_or(0);
        let place = self.texts.iter().position(|held| held.field == field && held.entity == entity);
        if let Some(mut held) = place.map(|place| self.texts.remove(place)) {
            let (seq, id) = &held.newest;
            let is_same = newest >= *seq && id_at(sql, *seq)?.as_deref() == Some(&**id);
            if is_same {
                if newest > *seq {
                    let seq = catch_up(sql, entity, field, &mut held.document, *seq)?;
                    held.newest = (seq, id_at(sql, seq)?.unwrap_or_default());
                }
                return Ok(held);
            }
        }
        let mut document = Document::new(self.client);
        let seq = load(sql, entity, field, &mut document)?;
        let newest = (seq, id_at(sql, seq)?.unwrap_or_default());
        Ok(Held { entity: entity.to_owned(), field: field.to_owned(), document, newest })
    }
}

fn id_at<S: Sql>(sql: &S, seq: i64) -> Result<Option<String>, S::Error> {
    if seq == 0 {
        return Ok(Some(String::new()));
    }
    sql.first(ID_AT, &[seq.into()], |row| Ok(row.text(0)?.to_owned()))
}
