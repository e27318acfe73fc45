//! Reading a push: total, bounded, without a tree of values.

use std::{borrow::Cow, collections::HashSet, fmt, marker::PhantomData};

use ferry_types::{
    Error, Reason, Result,
    limits::{
        RECORDS_CHANGE_MAX_FIELDS, RECORDS_ID_MAX_BYTES, RECORDS_NAME_MAX_BYTES, RECORDS_PUSH_MAX_CHANGES,
        RECORDS_VALUE_MAX_BYTES, RECORDS_VALUE_MAX_NESTING,
    },
};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Change, ChangeOrigin, FieldWrite, Op, SCHEMA_VERSION, UnixNanos, json};
use crate::json::nesting;

/// A push, read and within all limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push<'a> {
    /// `clientId` of the body.
    pub client: Option<Cow<'a, str>>,
    /// The text of `since`; what is no time means the epoch.
    pub since: Option<Cow<'a, str>>,
    /// In the order of the body.
    pub changes: Vec<Change<'a>>,
}

/// How much one change may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangeLimits {
    fields: usize,
    value_bytes: usize,
}

impl ChangeLimits {
    /// What fits into the body: an unmodified client whose batch is refused sends it again for ever (REC-35).
    pub const BODY: Self = Self { fields: usize::MAX, value_bytes: usize::MAX };
    /// Ferry's own client sets a change that is refused aside, and goes on.
    pub const FERRY: Self = Self { fields: RECORDS_CHANGE_MAX_FIELDS, value_bytes: RECORDS_VALUE_MAX_BYTES };

    fn check_field_count(self, count: usize, index: usize) -> Result<()> {
        if count > self.fields {
            return Err(too_large(format!("change {index} has over {} fields: split it", self.fields)));
        }
        Ok(())
    }

    fn value(self, raw: &RawValue, index: usize) -> Result<Cow<'_, str>> {
        if raw.get().len() > self.value_bytes {
            let most = self.value_bytes;
            return Err(too_large(format!(
                "a value of change {index} is over {most} bytes: store large content elsewhere"
            )));
        }
        if raw.get().len() > RECORDS_VALUE_MAX_NESTING && nesting(raw.get()) > RECORDS_VALUE_MAX_NESTING {
            return Err(too_large(format!(
                "a value of change {index} nests deeper than {RECORDS_VALUE_MAX_NESTING} arrays and objects: store it \
                 as text"
            )));
        }
        Ok(json::compact(raw.get()))
    }
}

/// Reads the body of a push whose changes hold what fits into it.
///
/// # Errors
/// `INVALID_ARGUMENT` or `TOO_LARGE` with the texts of section 2.7; the first bad change is named.
pub fn decode_push(body: &[u8]) -> Result<Push<'_>> {
    decode_within(body, ChangeLimits::BODY)
}

/// Reads the body of a push.
///
/// # Errors
/// See [`decode_push`].
pub fn decode_within(body: &[u8], limits: ChangeLimits) -> Result<Push<'_>> {
    let raw: RawPush<'_> =
        serde_json::from_slice(body).map_err(|error| invalid(format!("invalid JSON: {error}")))?;
    if let Some(version) = raw.schema_version {
        check_version(version)?;
    }
    let changes = raw.changes.unwrap_or_default();
    if changes.more {
        return Err(too_large(format!("over {RECORDS_PUSH_MAX_CHANGES} changes in one push: send fewer")));
    }
    let changes =
        changes.items.into_iter().enumerate().map(|(index, change)| decode_change(index, change, limits));
    Ok(Push {
        client: raw.client_id.map(|text| text.0),
        since: raw.since.and_then(|since| json::text_of(since.get())),
        changes: changes.collect::<Result<_>>()?,
    })
}

/// Checks the name of an app, collection, record or client.
///
/// # Errors
/// `INVALID_ARGUMENT` naming it as `what`.
pub fn check_name(name: &str, what: &str) -> Result<()> {
    check_text(name, what, RECORDS_NAME_MAX_BYTES)
}

/// Checks the id of a record.
///
/// # Errors
/// `INVALID_ARGUMENT` naming it as `what`.
pub fn check_id(id: &str, what: &str) -> Result<()> {
    check_text(id, what, RECORDS_ID_MAX_BYTES)
}

fn check_text(text: &str, what: &str, most: usize) -> Result<()> {
    if text.is_empty() || text.len() > most || text.chars().any(char::is_control) {
        return Err(invalid(format!(
            "invalid {what}: expected 1 to {most} bytes without control characters"
        )));
    }
    Ok(())
}

fn check_version(version: &RawValue) -> Result<()> {
    match version.get().parse::<f64>() {
        Ok(number) if number <= SCHEMA_VERSION as f64 => Ok(()),
        _ => Err(invalid(format!("unsupported schemaVersion {} (max {SCHEMA_VERSION})", version.get()))),
    }
}

fn invalid(message: String) -> Error {
    Error::new(Reason::InvalidArgument, message)
}

fn too_large(message: String) -> Error {
    Error::new(Reason::TooLarge, message)
}

fn decode_change(index: usize, raw: RawChange<'_>, limits: ChangeLimits) -> Result<Change<'_>> {
    let op = raw.op.and_then(|op| json::text_of(op.get())).unwrap_or_default();
    let op = Op::read(&op).ok_or_else(|| {
        let shown: String = op.chars().take(RECORDS_NAME_MAX_BYTES).collect();
        invalid(format!("invalid op {} in change {index}", json::string(&shown)))
    })?;
    let (table, id) = (named(raw.table, index)?, named(raw.id, index)?);
    check_name(&table, &format!("table in change {index}"))?;
    check_id(&id, &format!("id in change {index}"))?;
    let data = raw.data.map(|data| members(data, index, limits)).transpose()?;
    let fields = raw.fields.map(|fields| field_writes(fields, index, limits)).transpose()?;
    // An empty text is none.
    let text = |raw: Option<&'_ RawValue>| {
        raw.and_then(|raw| json::text_of(raw.get())).filter(|text| !text.is_empty()).map(Cow::into_owned)
    };
    let (space, event_id) = (text(raw.space_id), text(raw.event_id));
    for (value, what) in [(&space, "spaceId"), (&event_id, "eventId")] {
        if let Some(value) = value {
            check_id(value, &format!("{what} in change {index}"))?;
        }
    }
    if let Some(version) = raw.schema_version {
        check_version(version)?;
    }
    Ok(Change {
        table,
        id,
        op,
        data,
        fields,
        deleted_at: raw.deleted_at.and_then(time_of),
        space: space.map(Cow::Owned),
        actor: raw.actor.map(|actor| limits.value(actor, index)).transpose()?,
        origin: raw.origin.and_then(|origin| ChangeOrigin::read(&json::text_of(origin.get())?)),
        event_id: event_id.map(Cow::Owned),
        seen: None,
    })
}

fn named(raw: Option<&RawValue>, index: usize) -> Result<Cow<'_, str>> {
    let text = raw.and_then(|raw| json::text_of(raw.get())).filter(|text| !text.is_empty());
    text.ok_or_else(|| invalid(format!("missing table or id in change {index}")))
}

fn time_of(raw: &RawValue) -> Option<UnixNanos> {
    UnixNanos::parse(&json::text_of(raw.get())?)
}

/// Members of `data`. All have one time: that of `updatedAt`, else of `createdAt`.
fn members<'a>(
    data: Members<'a, &'a RawValue>,
    index: usize,
    limits: ChangeLimits,
) -> Result<Vec<FieldWrite<'a>>> {
    limits.check_field_count(data.0.len(), index)?;
    let time = |name| data.0.iter().rev().find(|(key, _)| key == name).and_then(|(_, raw)| time_of(raw));
    let at = time("updatedAt").or_else(|| time("createdAt"));
    let members = data
        .0
        .into_iter()
        .map(|(key, raw)| Ok(FieldWrite { key: json::escape(key), value: limits.value(raw, index)?, at }));
    members.collect()
}

fn field_writes<'a>(
    fields: Members<'a, Option<RawField<'a>>>,
    index: usize,
    limits: ChangeLimits,
) -> Result<Vec<FieldWrite<'a>>> {
    limits.check_field_count(fields.0.len(), index)?;
    let writes = fields.0.into_iter().map(|(key, entry)| {
        let Some(entry) = entry else {
            return Err(invalid(format!(
                "field {} in change {index} is null: expected {{\"value\":…,\"at\":…}}",
                json::string(&key)
            )));
        };
        let value = entry.value.map_or(Ok(Cow::Borrowed("null")), |raw| limits.value(raw, index))?;
        let at = entry.at.or(entry.updated_at).and_then(time_of);
        Ok(FieldWrite { key: json::escape(key), value, at })
    });
    writes.collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPush<'a> {
    #[serde(borrow)]
    client_id: Option<Text<'a>>,
    #[serde(borrow)]
    since: Option<&'a RawValue>,
    #[serde(borrow)]
    schema_version: Option<&'a RawValue>,
    #[serde(borrow)]
    changes: Option<Bounded<RawChange<'a>, RECORDS_PUSH_MAX_CHANGES>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawChange<'a> {
    // Ferry's own clients call it collection.
    #[serde(borrow, alias = "collection")]
    table: Option<&'a RawValue>,
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    op: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<Members<'a, &'a RawValue>>,
    #[serde(borrow)]
    fields: Option<Members<'a, Option<RawField<'a>>>>,
    #[serde(borrow)]
    deleted_at: Option<&'a RawValue>,
    #[serde(borrow)]
    space_id: Option<&'a RawValue>,
    #[serde(borrow)]
    actor: Option<&'a RawValue>,
    #[serde(borrow)]
    origin: Option<&'a RawValue>,
    #[serde(borrow)]
    schema_version: Option<&'a RawValue>,
    #[serde(borrow)]
    event_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawField<'a> {
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    at: Option<&'a RawValue>,
    #[serde(borrow)]
    updated_at: Option<&'a RawValue>,
}

/// A text, borrowed where the JSON holds it without escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The first `MAX` items of an array; what comes behind is read over and not kept.
struct Bounded<T, const MAX: usize> {
    items: Vec<T>,
    more: bool,
}

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Self { items: Vec::new(), more: false }
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for Items<T, MAX> {
            type Value = Bounded<T, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Self::Value, A::Error> {
                let mut read = Bounded::default();
                while read.items.len() < MAX {
                    match array.next_element()? {
                        Some(item) => read.items.push(item),
                        None => return Ok(read),
                    }
                }
                while array.next_element::<IgnoredAny>()?.is_some() {
                    read.more = true;
                }
                Ok(read)
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// Of members with one name the last, as every JavaScript client reads them.
fn last_of_equal_names<T>(members: Vec<(Cow<'_, str>, T)>) -> Vec<(Cow<'_, str>, T)> {
    let mut seen = HashSet::with_capacity(members.len());
    let is_last: Vec<bool> = members.iter().rev().map(|(name, _)| seen.insert(&**name)).collect();
    if !is_last.contains(&false) {
        return members;
    }
    members
        .into_iter()
        .zip(is_last.into_iter().rev())
        .filter_map(|(member, last)| last.then_some(member))
        .collect()
}

/// The members of an object in their order, each name once.
pub(super) struct Members<'a, T>(Vec<(Cow<'a, str>, T)>);

impl<'a, T> Members<'a, T> {
    pub(super) fn into_items(self) -> impl Iterator<Item = (Cow<'a, str>, T)> {
        self.0.into_iter()
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = T> {
        self.into_items().map(|(_, value)| value)
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for Members<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<'a, T>(PhantomData<(&'a (), T)>);

        impl<'de: 'a, 'a, T: Deserialize<'de>> Visitor<'de> for Object<'a, T> {
            type Value = Members<'a, T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
                let mut read = Vec::new();
                while let Some(Text(key)) = object.next_key::<Text<'de>>()? {
                    read.push((key, object.next_value()?));
                }
                Ok(Members(last_of_equal_names(read)))
            }
        }

        deserializer.deserialize_map(Object(PhantomData))
    }
}
