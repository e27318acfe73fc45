//! The linked module as text, with its source map.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use oxc::codegen::{Codegen, CodegenOptions, CommentOptions};
use oxc_sourcemap::ConcatSourceMapBuilder;

use super::{
    Compiled,
    link::{Binding, ExportList, Linked},
};

pub(super) fn emit(linked: Linked<'_>) -> Compiled {
    let mut bundle = imports(&linked.names);
    for (module, members) in &linked.namespaces {
        let name = &linked.names[&Binding::Namespace(*module)];
        writeln!(bundle, "const {name} = {};", lazy_object(members, &linked.names))
            .expect("BUG: writing to a String failed");
    }
    let Linked { modules, names, functions, schema, hooks, .. } = linked;
    let mut maps = Vec::new();
    let mut files = vec![String::new(); modules.placed.len()];
    let mut placed: Vec<_> = modules.placed.into_iter().map(Some).collect();
    for index in modules.order {
        let module = placed[index].take().expect("BUG: a module is in the order twice").module;
        writeln!(bundle, "// {}", module.path).expect("BUG: writing to a String failed");
        let options = CodegenOptions {
            comments: CommentOptions::disabled(),
            source_map_path: Some(PathBuf::from(&module.path)),
            ..CodegenOptions::default()
        };
        let written =
            Codegen::new().with_options(options).with_scoping(Some(module.scoping)).build(&module.program);
        if let Some(map) = written.map {
            maps.push((map, line_count(&bundle)));
        }
        bundle.push_str(&written.code);
        if !bundle.ends_with('\n') {
            bundle.push('\n');
        }
        files[index] = module.path;
    }
    bundle.push_str(&exports(&functions, schema.as_ref(), hooks.as_ref(), &names));
    let placed_maps: Vec<_> = maps.iter().map(|(map, line)| (map, *line)).collect();
    let source_map = ConcatSourceMapBuilder::from_sourcemaps(&placed_maps).into_sourcemap().to_json_string();
    Compiled { bundle, source_map, files }
}

fn line_count(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX)
}

/// One import per built-in module.
fn imports(names: &BTreeMap<Binding, String>) -> String {
    let mut lists: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut text = String::new();
    for (binding, local) in names {
        match binding {
            Binding::Embedded { specifier, name } => {
                let part = if name == local { local.clone() } else { format!("{name} as {local}") };
                lists.entry(specifier).or_default().push(part);
            }
            Binding::EmbeddedNamespace(specifier) => {
                writeln!(text, "import * as {local} from \"{specifier}\";")
                    .expect("BUG: writing to a String failed");
            }
            Binding::Local { .. } | Binding::Namespace(_) => {}
        }
    }
    for (specifier, list) in lists {
        writeln!(text, "import {{ {} }} from \"{specifier}\";", list.join(", "))
            .expect("BUG: writing to a String failed");
    }
    text
}

/// A file's exports as an object that reads them when asked, since files may import each other in a circle.
fn lazy_object(members: &ExportList, names: &BTreeMap<Binding, String>) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, binding)| format!("get {}() {{ return {}; }}", quoted(name), names[binding]))
        .collect();
    format!("{{ __proto__: null, {} }}", members.join(", "))
}

/// A file's exports as an object, once all files have run.
fn object(members: &ExportList, names: &BTreeMap<Binding, String>) -> String {
    let members: Vec<String> =
        members.iter().map(|(name, binding)| format!("{}: {}", quoted(name), names[binding])).collect();
    format!("{{ __proto__: null, {} }}", members.join(", "))
}

fn quoted(name: &str) -> String {
    let text = serde_json::Value::from(name).to_string();
    // As a plain key it would set the prototype.
    if name == "__proto__" { format!("[{text}]") } else { text }
}

fn exports(
    functions: &ExportList,
    schema: Option<&ExportList>,
    hooks: Option<&ExportList>,
    names: &BTreeMap<Binding, String>,
) -> String {
    let mut text = String::new();
    let list: Vec<String> = functions
        .iter()
        .map(|(name, binding)| {
            let local = &names[binding];
            if local == name { name.clone() } else { format!("{local} as {}", exported(name)) }
        })
        .collect();
    writeln!(text, "export {{ {} }};", list.join(", ")).expect("BUG: writing to a String failed");
    for (name, members) in [("_ferry_schema", schema), ("_ferry_hooks", hooks)] {
        if let Some(members) = members {
            writeln!(text, "export const {name} = {};", object(members, names))
                .expect("BUG: writing to a String failed");
        }
    }
    text
}

/// Names that are no identifiers are written as strings.
fn exported(name: &str) -> String {
    let is_plain = name.chars().all(|letter| letter.is_alphanumeric() || letter == '_' || letter == '$')
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if is_plain { name.to_owned() } else { quoted(name) }
}
