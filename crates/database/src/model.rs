//! What the sync models are to a database: each keeps a state of its own beside it, and learns of commits.

use ferry_sqlite::{NativeSql, Result};
use ferry_types::{Model, Seq, UnixMillis};

use crate::Commit;

/// One sync model's state of one database: small while nobody uses it.
pub trait ModelState: Default + Send + Sync + 'static {
    /// What a commit changed, as the model's subscribers must learn it.
    type Effect: Send + 'static;

    /// Which model it is.
    const MODEL: Model;

    /// Takes in what a commit did: after it is on disk, in the order of `seq`, before any answer. Called by the actor
    /// alone, which waits for it.
    fn publish(&self, seq: Seq, effect: Self::Effect);

    /// Names the views through which SQL sees what `effect` changed; `*` for all of the model's.
    fn changed_views(_effect: &Self::Effect, _name: &mut dyn FnMut(&str)) {}

    /// Whether it wants to know of views that others change.
    fn follows_views(&self) -> bool {
        false
    }

    /// A commit changed these views, whatever the model ([`Self::changed_views`]). Called as [`Self::publish`] is, before it.
    fn views_changed(&self, _seq: Seq, _views: &[String]) {}

    /// Whether everything that is known here is known elsewhere too, so that the state may be forgotten.
    fn is_saved(&self) -> bool {
        true
    }

    /// Whether it works with files of the database just now, beside the writer and the readers.
    fn is_in_use(&self) -> bool {
        false
    }

    /// Closes files that it only kept open for the next who needs them, on this thread.
    fn close_idle(&self) {}

    /// Makes the tables that a database which the model writes first begins with.
    ///
    /// # Errors
    /// When they cannot be made.
    fn create_tables(_sql: &NativeSql<'_>) -> Result<()> {
        Ok(())
    }

    /// The model's share of a database that the hub writes; `None`: it holds nothing of it.
    ///
    /// # Errors
    /// When it cannot be read.
    fn stats(&self, _sql: &NativeSql<'_>) -> Result<Option<ModelStats>> {
        Ok(None)
    }
}

/// All sync models of a hub: made by [`models!`](crate::models).
pub trait Models: Default + Send + Sync + 'static {
    /// What a commit changed, of any model.
    type Effect: Send + 'static;

    /// Hands each effect to its model.
    fn publish(&self, commit: Commit<Self::Effect>);

    /// As [`ModelState::is_saved`], of all.
    fn is_saved(&self) -> bool;

    /// As [`ModelState::is_in_use`], of any.
    fn is_in_use(&self) -> bool;

    /// As [`ModelState::close_idle`], of all.
    fn close_idle(&self);

    /// As [`ModelState::create_tables`].
    ///
    /// # Errors
    /// When they cannot be made.
    fn create_tables(model: Model, sql: &NativeSql<'_>) -> Result<()>;

    /// As [`ModelState::stats`], of all that hold something.
    ///
    /// # Errors
    /// When they cannot be read.
    fn stats(&self, sql: &NativeSql<'_>) -> Result<Vec<ModelStats>>;
}

/// One sync model's share of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelStats {
    /// The model.
    pub model: Model,
    /// Newest sequence number that touched it.
    pub head_seq: Seq,
    /// What it counts: pages, events, records, ops, functions.
    pub items: u64,
    /// Bytes it takes.
    pub bytes: u64,
    /// Last write.
    pub last_activity: Option<UnixMillis>,
}

/// Makes `Models`, which holds a [`ModelState`] per model under its name, and `Effect`, which has a variant per model.
///
/// ```
/// # use ferry_types::{Model, Seq};
/// #[derive(Default)]
/// pub struct PagesState;
///
/// impl ferry_database::ModelState for PagesState {
///     type Effect = u32;
///     const MODEL: Model = Model::Pages;
///     fn publish(&self, _: Seq, _: u32) {}
/// }
///
/// ferry_database::models! { pages: Pages(PagesState) }
/// ```
#[macro_export]
macro_rules! models {
    ($($name:ident: $variant:ident($state:ty)),+ $(,)?) => {
        /// What the sync models keep of one database.
        #[derive(Default)]
        pub struct Models {
            $(
                #[doc = concat!("Of the model `", stringify!($name), "`.")]
                pub $name: ::std::sync::Arc<$state>,
            )+
        }

        /// What a commit changed, for the subscribers of a database.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Effect {
            $(
                #[doc = concat!("Of the model `", stringify!($name), "`.")]
                $variant(<$state as $crate::ModelState>::Effect),
            )+
        }

        impl $crate::Models for Models {
            type Effect = Effect;

            fn publish(&self, commit: $crate::Commit<Effect>) {
                if false $(|| $crate::ModelState::follows_views(&*self.$name))+ {
                    let mut views = ::std::vec::Vec::new();
                    let mut name = |view: &str| views.push(::std::borrow::ToOwned::to_owned(view));
                    for effect in &commit.effects {
                        match effect {
                            $(Effect::$variant(effect) => {
                                <$state as $crate::ModelState>::changed_views(effect, &mut name);
                            })+
                        }
                    }
                    if !views.is_empty() {
                        $($crate::ModelState::views_changed(&*self.$name, commit.seq, &views);)+
                    }
                }
                for effect in commit.effects {
                    match effect {
                        $(Effect::$variant(effect) => {
                            $crate::ModelState::publish(&*self.$name, commit.seq, effect);
                        })+
                    }
                }
            }

            fn is_saved(&self) -> bool {
                true $(&& $crate::ModelState::is_saved(&*self.$name))+
            }

            fn is_in_use(&self) -> bool {
                false $(|| $crate::ModelState::is_in_use(&*self.$name))+
            }

            fn close_idle(&self) {
                $($crate::ModelState::close_idle(&*self.$name);)+
            }

            fn create_tables(
                model: $crate::Model,
                sql: &$crate::NativeSql<'_>,
            ) -> $crate::StorageResult<()> {
                $(if model == <$state as $crate::ModelState>::MODEL {
                    return <$state as $crate::ModelState>::create_tables(sql);
                })+
                Ok(())
            }

            fn stats(&self, sql: &$crate::NativeSql<'_>) -> $crate::StorageResult<Vec<$crate::ModelStats>> {
                let mut all = Vec::new();
                $(all.extend($crate::ModelState::stats(&*self.$name, sql)?);)+
                Ok(all)
            }
        }
    };
}
