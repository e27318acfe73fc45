//! Where the first group of a database runs that is not on disk yet.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use ferry_core::lineage::FileNote;
use ferry_sqlite::{Applied, Result, TemplateDatabase, Transaction};

/// How many templates of one model are kept. More are in use when more databases are written first at a time.
const TEMPLATES_PER_MODEL: usize = 2;

/// Templates of one model that nobody uses just now.
#[derive(Default)]
pub(crate) struct SpareTemplates(Mutex<Vec<TemplateDatabase>>);

impl SpareTemplates {
    /// Lends one, made by `make` if none is left, to the database whose file will be at `path`, with `note`.
    ///
    /// # Errors
    /// What `make` reports.
    pub(crate) fn lend(
        self: &Arc<Self>,
        (path, note): (PathBuf, Option<FileNote>),
        make: impl FnOnce() -> Result<TemplateDatabase>,
    ) -> Result<FirstGroup> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let template = kept.map_or_else(make, Ok)?;
        Ok(FirstGroup { template, path, note, spare: Arc::clone(self) })
    }

    fn give_back(&self, template: TemplateDatabase) {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if template.is_fit() && spare.len() < TEMPLATES_PER_MODEL {
            spare.push(template);
        }
    }
}

/// A template that is lent to one database, for its first group.
pub struct FirstGroup {
    template: TemplateDatabase,
    path: PathBuf,
    note: Option<FileNote>,
    spare: Arc<SpareTemplates>,
}

impl FirstGroup {
    /// See [`TemplateDatabase::run_group`].
    pub(crate) fn run<R, E>(
        mut self,
        requests: &mut [R],
        apply: impl FnMut(&mut R, &mut Transaction<'_, E>) -> Result<()>,
    ) -> Vec<Result<Applied<E>>> {
        let answers = self.template.run_group((&self.path, self.note), requests, apply);
        self.spare.give_back(self.template);
        answers
    }
}
