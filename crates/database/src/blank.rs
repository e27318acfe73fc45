//! What a database that is not there yet is made of: the tables of the model that writes it first.

use std::{
    marker::PhantomData,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
};

use ferry_core::lineage::FileNote;
use ferry_sqlite::{Blank, Result, TemplateDatabase};
use ferry_types::Model;

use crate::{
    Models,
    first_group::{FirstGroup, SpareTemplates},
};

/// Which models are about to write a database that may not be there yet.
#[derive(Default)]
pub(crate) struct FirstModels(AtomicU8);

impl FirstModels {
    /// `model` is about to write, and its tables may be missing.
    pub(crate) fn note(&self, model: Model) {
        self.0.fetch_or(1 << index_of(model), Ordering::Relaxed);
    }

    /// The only one. Of several that begin together each makes its own tables.
    fn only(&self) -> Option<Model> {
        let noted = self.0.load(Ordering::Relaxed);
        Model::ALL.iter().copied().find(|model| noted == 1 << index_of(*model))
    }
}

/// Empty databases by the model that writes them first, each made once by SQLite itself and copied from then on.
pub(crate) struct Blanks<M> {
    bare: OnceLock<Result<Blank>>,
    by_model: [OnceLock<Result<Blank>>; Model::ALL.len()],
    templates: [Arc<SpareTemplates>; Model::ALL.len()],
    models: PhantomData<fn() -> M>,
}

impl<M> Default for Blanks<M> {
    fn default() -> Self {
        Self {
            bare: OnceLock::new(),
            by_model: Default::default(),
            templates: Default::default(),
            models: PhantomData,
        }
    }
}

impl<M: Models> Blanks<M> {
    /// What a new file is made of.
    pub(crate) fn of(&self, first: &FirstModels) -> Result<&Blank> {
        let blank = match first.only() {
            Some(model) => {
                self.by_model[index_of(model)].get_or_init(|| Blank::with(|sql| M::create_tables(model, sql)))
            }
            None => self.bare.get_or_init(|| Blank::with(|_| Ok(()))),
        };
        blank.as_ref().map_err(|error| ferry_sqlite::Error::Damaged(format!("a new database: {error}")))
    }

    /// Where the first group of the database at `path` runs, with `note`; `None` if it is not one model alone
    /// that begins.
    pub(crate) fn template(
        &self,
        first: &FirstModels,
        (path, note): (PathBuf, Option<FileNote>),
    ) -> Result<Option<FirstGroup>> {
        let Some(model) = first.only() else { return Ok(None) };
        let make = || TemplateDatabase::with(|sql| M::create_tables(model, sql));
        self.templates[index_of(model)].lend((path, note), make).map(Some)
    }
}

const fn index_of(model: Model) -> usize {
    model as usize
}
