//! What a database's schema holds, as far as it must be known of names that SQLite reports.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use rusqlite::Connection;

use super::{
    names::shadow_owner,
    text::{SqlToken, SqlTokens, engine_name, is_engine},
};

/// The tables, views and triggers of a schema.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    /// By name, in lower case; engines' tables are left out.
    objects: HashMap<String, Object>,
    /// Triggers of the engines' views.
    engine_triggers: HashSet<String>,
}

#[derive(Debug)]
struct Object {
    /// As declared.
    name: Arc<str>,
    kind: ObjectKind,
}

#[derive(Debug)]
enum ObjectKind {
    Table {
        /// Its rows have rowids, and no column is made of others.
        is_plain: bool,
    },
    /// A virtual table, and what its declaration names: what is read with it.
    Virtual { mentions: Vec<Arc<str>>, shows_changes: bool },
    /// A table that belongs to this virtual one.
    Shadow(String),
    /// A view of the application.
    View,
    /// A view over tables of an engine.
    EngineView { is_writable: bool },
}

/// A row of `sqlite_schema`.
struct Declared {
    kind: String,
    name: String,
    table: String,
    text: String,
}

impl Catalog {
    /// The catalog of the schema as it is now.
    pub(super) fn load(connection: &Connection) -> rusqlite::Result<Self> {
        let select = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE type <> 'index'";
        let mut statement = connection.prepare_cached(select)?;
        let rows = statement.query_map([], |row| {
            let text: Option<String> = row.get(3)?;
            Ok(Declared {
                kind: row.get(0)?,
                name: row.get(1)?,
                table: row.get(2)?,
                text: text.unwrap_or_default(),
            })
        })?;
        let declared = rows.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(Self::of(declared))
    }

    fn of(mut declared: Vec<Declared>) -> Self {
        declared.retain(|object| {
            let name = object.name.as_bytes();
            !is_engine(name) && !name.to_ascii_lowercase().starts_with(b"sqlite_")
        });
        let mut catalog = Self::default();
        let mut writable = HashSet::new();
        let mut virtuals = HashMap::new();
        for object in &declared {
            let key = object.name.to_ascii_lowercase();
            let of_engine = engine_name(&object.text).is_some();
            let kind = match &*object.kind {
                "trigger" => {
                    if of_engine {
                        writable.insert(object.table.to_ascii_lowercase());
                        catalog.engine_triggers.insert(key);
                    }
                    continue;
                }
                "view" if of_engine => ObjectKind::EngineView { is_writable: false },
                "view" => ObjectKind::View,
                _ if is_virtual(&object.text) => {
                    virtuals.insert(key.clone(), &*object.text);
                    ObjectKind::Virtual { mentions: Vec::new(), shows_changes: false }
                }
                _ => ObjectKind::Table { is_plain: is_plain(&object.text) },
            };
            catalog.objects.insert(key, Object { name: object.name.as_str().into(), kind });
        }
        for object in catalog.objects.values_mut() {
            if let ObjectKind::EngineView { is_writable } = &mut object.kind {
                *is_writable = writable.contains(&object.name.to_ascii_lowercase());
            }
        }
        if !virtuals.is_empty() {
            catalog.find_shadows();
            catalog.find_mentions(&declared, &virtuals);
        }
        catalog
    }

    fn find_shadows(&mut self) {
        let owner_of = |name: &str| {
            let owner = shadow_owner(name)?;
            let is_owner = self
                .objects
                .get(owner)
                .is_some_and(|object| matches!(object.kind, ObjectKind::Virtual { .. }));
            is_owner.then(|| owner.to_owned())
        };
        let tables =
            self.objects.iter().filter(|(_, object)| matches!(object.kind, ObjectKind::Table { .. }));
        let shadows: Vec<_> = tables.filter_map(|(name, _)| Some((name.clone(), owner_of(name)?))).collect();
        for (name, owner) in shadows {
            // FTS5 writes a row there for each document, at once; what else it changes may stay in memory for a while.
            let is_docsize = name.ends_with("_docsize");
            if let Some(object) = self.objects.get_mut(&owner)
                && let ObjectKind::Virtual { shows_changes, .. } = &mut object.kind
            {
                *shows_changes |= is_docsize;
            }
            if let Some(object) = self.objects.get_mut(&name) {
                object.kind = ObjectKind::Shadow(owner);
            }
        }
    }

    /// A virtual table may show another table's content (`content='posts'` of FTS5), which it reads by statements of its
    /// own: whatever its declaration names counts as read with it, through views too.
    fn find_mentions(&mut self, declared: &[Declared], virtuals: &HashMap<String, &str>) {
        let views: HashMap<String, &str> = declared
            .iter()
            .filter(|object| object.kind == "view")
            .map(|object| (object.name.to_ascii_lowercase(), &*object.text))
            .collect();
        for (name, text) in virtuals {
            let (mut found, mut seen, mut texts) = (Vec::new(), HashSet::from([name.clone()]), vec![*text]);
            while let Some(text) = texts.pop() {
                for token in SqlTokens::of(text) {
                    let (SqlToken::Word(word) | SqlToken::Quoted(word)) = token else { continue };
                    let word = word.to_ascii_lowercase();
                    if self.objects.contains_key(&word) && seen.insert(word.clone()) {
                        self.read(&word, &mut found);
                        texts.extend(views.get(&word));
                        texts.extend(virtuals.get(&word));
                    }
                }
            }
            if let Some(object) = self.objects.get_mut(name)
                && let ObjectKind::Virtual { mentions, .. } = &mut object.kind
            {
                *mentions = found;
            }
        }
    }

    fn get(&self, name: &str) -> Option<&Object> {
        if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.objects.get(&name.to_ascii_lowercase())
        } else {
            self.objects.get(name)
        }
    }

    /// The engines' view of this name, as declared, and whether it may be written.
    pub(super) fn engine_view(&self, name: &str) -> Option<(&Arc<str>, bool)> {
        match self.get(name)? {
            Object { name, kind: ObjectKind::EngineView { is_writable } } => Some((name, *is_writable)),
            _ => None,
        }
    }

    /// Whether a trigger of an engines' view has this name.
    pub(super) fn is_engine_trigger(&self, name: &str) -> bool {
        self.engine_triggers.contains(&name.to_ascii_lowercase())
    }

    /// Adds to `tables` whatever a statement depends on that reads what SQLite calls `name`.
    pub(super) fn read(&self, name: &str, tables: &mut Vec<Arc<str>>) {
        match self.get(name) {
            None | Some(Object { kind: ObjectKind::View, .. }) => {}
            Some(Object { kind: ObjectKind::Shadow(owner), .. }) => self.read(owner, tables),
            Some(Object { name, kind: ObjectKind::Virtual { mentions, .. } }) => {
                add(tables, name);
                mentions.iter().for_each(|table| add(tables, table));
            }
            Some(Object { name, .. }) => add(tables, name),
        }
    }

    /// The table that changes with a row of what SQLite calls `name`, as declared.
    pub(super) fn changed(&self, name: &str) -> Option<&Arc<str>> {
        match self.get(name)? {
            Object { kind: ObjectKind::View | ObjectKind::EngineView { .. }, .. } => None,
            Object { kind: ObjectKind::Shadow(owner), .. } => self.changed(owner),
            Object { name, .. } => Some(name),
        }
    }

    /// Whether this is a table whose rows are told by their columns as they were declared.
    pub(super) fn is_plain(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Object { kind: ObjectKind::Table { is_plain: true }, .. }))
    }

    /// The table that a statement names so, as declared.
    pub(super) fn table(&self, name: &str) -> Option<&Arc<str>> {
        let object = self.get(name)?;
        matches!(object.kind, ObjectKind::Table { .. }).then_some(&object.name)
    }

    /// Whether a change of this table may go without a change of a row that SQLite tells of.
    pub(super) fn hides_changes(&self, name: &str) -> bool {
        let object = self.get(name);
        matches!(object, Some(Object { kind: ObjectKind::Virtual { shows_changes: false, .. }, .. }))
    }
}

/// Adds a name unless it is there.
pub(super) fn add(names: &mut Vec<Arc<str>>, name: &Arc<str>) {
    if !names.contains(name) {
        names.push(Arc::clone(name));
    }
}

/// Whether nothing in a table's declaration may say WITHOUT ROWID, or that a column is generated.
fn is_plain(text: &str) -> bool {
    let is_told = |word: &str| word.eq_ignore_ascii_case("WITHOUT") || word.eq_ignore_ascii_case("AS");
    !SqlTokens::of(text).any(|token| matches!(token, SqlToken::Word(word) if is_told(word)))
}

fn is_virtual(text: &str) -> bool {
    let mut words = SqlTokens::of(text);
    words.next();
    matches!(words.next(), Some(SqlToken::Word(word)) if word.eq_ignore_ascii_case("VIRTUAL"))
}
