//! Names that SQLite knows, and what Ferry makes of them.

/// SQL functions whose result depends on their arguments and the rows alone. Whatever is not listed may answer otherwise
/// next time, the date functions too: theirs is `'now'`.
const STABLE: &[&str] = &[
    "->",
    "->>",
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "avg",
    "bm25",
    "ceil",
    "ceiling",
    "char",
    "coalesce",
    "concat",
    "concat_ws",
    "cos",
    "cosh",
    "count",
    "cume_dist",
    "degrees",
    "dense_rank",
    "exp",
    "first_value",
    "floor",
    "format",
    "glob",
    "group_concat",
    "hex",
    "highlight",
    "if",
    "ifnull",
    "iif",
    "instr",
    "json",
    "json_array",
    "json_array_insert",
    "json_array_length",
    "json_error_position",
    "json_extract",
    "json_group_array",
    "json_group_object",
    "json_insert",
    "json_object",
    "json_patch",
    "json_pretty",
    "json_quote",
    "json_remove",
    "json_replace",
    "json_set",
    "json_type",
    "json_valid",
    "jsonb",
    "jsonb_array",
    "jsonb_extract",
    "jsonb_group_array",
    "jsonb_group_object",
    "jsonb_insert",
    "jsonb_object",
    "jsonb_patch",
    "jsonb_remove",
    "jsonb_replace",
    "jsonb_set",
    "lag",
    "last_value",
    "lead",
    "length",
    "like",
    "likelihood",
    "likely",
    "ln",
    "log",
    "log10",
    "log2",
    "lower",
    "ltrim",
    "match",
    "max",
    "median",
    "min",
    "mod",
    "nth_value",
    "ntile",
    "nullif",
    "octet_length",
    "percent_rank",
    "percentile",
    "percentile_cont",
    "percentile_disc",
    "pi",
    "pow",
    "power",
    "printf",
    "quote",
    "radians",
    "rank",
    "replace",
    "round",
    "row_number",
    "rtrim",
    "sign",
    "sin",
    "sinh",
    "snippet",
    "soundex",
    "sqrt",
    "string_agg",
    "subtype",
    "substr",
    "substring",
    "sum",
    "tan",
    "tanh",
    "total",
    "trim",
    "trunc",
    "typeof",
    "unhex",
    "unicode",
    "unistr",
    "unistr_quote",
    "unlikely",
    "upper",
    "zeroblob",
];

/// PRAGMAs that tell of a table or of the database, and change nothing.
const TELLING: &[&str] = &[
    "collation_list",
    "compile_options",
    "encoding",
    "foreign_key_list",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "module_list",
    "table_info",
    "table_list",
    "table_xinfo",
];

/// PRAGMAs of migrations beside them: they last until the transaction ends, or only check.
const OF_MIGRATIONS: &[&str] = &["defer_foreign_keys", "foreign_key_check", "integrity_check", "quick_check"];

/// Virtual tables that show the database's pages, which belong to the engines too.
const PAGES: &[&str] = &["dbstat", "sqlite_dbpage"];

/// Modules of virtual tables that a migration may use.
const MODULES: &[&str] = &["fts3", "fts4", "fts5", "geopoly", "rtree", "rtree_i32"];

/// What the tables of a virtual table are called, behind its own name (FTS5, FTS3/4, R-Tree).
const SHADOWS: &[&str] =
    &["config", "content", "data", "docsize", "idx", "node", "parent", "rowid", "segdir", "segments", "stat"];

fn is_one_of(list: &[&str], name: &str) -> bool {
    list.iter().any(|listed| listed.eq_ignore_ascii_case(name))
}

/// Whether a function answers the same for the same arguments and rows.
pub(super) fn is_stable(function: &str) -> bool {
    is_one_of(STABLE, function)
}

/// Whether a function may run this PRAGMA, and a migration.
pub(crate) fn may_run_pragma(name: &str, is_migration: bool) -> bool {
    is_one_of(TELLING, name) || is_migration && is_one_of(OF_MIGRATIONS, name)
}

pub(crate) fn shows_pages(table: &str) -> bool {
    is_one_of(PAGES, table)
}

pub(super) fn may_use_module(name: &str) -> bool {
    is_one_of(MODULES, name)
}

/// The virtual table that a table would belong to by its name, if there is one of that name.
pub(super) fn shadow_owner(table: &str) -> Option<&str> {
    let (owner, suffix) = table.rsplit_once('_')?;
    is_one_of(SHADOWS, suffix).then_some(owner)
}
