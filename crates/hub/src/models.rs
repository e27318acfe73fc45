//! The sync models of this hub: the only list of them. Whoever needs something of each model hands the list to a macro of
//! its own: `config` its settings, `database` what it keeps beside each database, `hub` what it keeps beside the hub,
//! `shells` what it does. Nothing is imported here, so that all of these can stand above it.

/// Calls the macro `$then` with a row per model: the name of its modules, its [`ferry_types::Model`], and its types there.
macro_rules! for_each_model {
    ($then:ident) => {
        $then! {
            pages: Pages, PagesConfig, PagesState, PagesService;
            events: Events, EventsConfig, EventsState, EventsService;
            records: Records, RecordsConfig, RecordsState, RecordsService;
            ops: Ops, OpsConfig, OpsState, OpsService;
            functions: Functions, FunctionsConfig, FunctionsState, FunctionsService;
        }
    };
}
pub(crate) use for_each_model;
