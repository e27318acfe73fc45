//! One file: its types stripped, its imports and exports taken down and taken out.

use std::path::Path;

use oxc::{
    allocator::{Allocator, Box as ArenaBox, TakeIn, Vec as ArenaVec},
    ast::{
        ast::{
            BindingIdentifier, BindingPattern, Declaration, ExportDefaultDeclarationKind,
            ImportDeclarationSpecifier, ImportOrExportKind, ModuleExportName, Program, Statement,
            VariableDeclaration, VariableDeclarationKind, VariableDeclarator,
        },
        builder::AstBuilder,
    },
    parser::Parser,
    semantic::{Scoping, SemanticBuilder, SymbolId},
    span::{GetSpan, SourceType, Span},
    transformer::{TransformOptions, Transformer},
};

use super::diagnostic::Diagnostic;

/// A module of the project without types, imports and exports.
pub(super) struct Module<'a> {
    pub(super) path: String,
    pub(super) source: &'a str,
    pub(super) program: Program<'a>,
    pub(super) scoping: Scoping,
    /// What it asks for, in order.
    pub(super) requests: Vec<ModuleRequest>,
    pub(super) imports: Vec<Import>,
    pub(super) exports: Vec<Export>,
}

/// `from "specifier"`.
#[derive(Clone, Debug)]
pub(super) struct ModuleRequest {
    pub(super) specifier: String,
    pub(super) span: Span,
}

/// What of another module is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Imported {
    Name(String),
    Namespace,
}

/// A binding that stands for one of another module.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) symbol: SymbolId,
    /// Index of the request.
    pub(super) request: usize,
    pub(super) imported: Imported,
    pub(super) span: Span,
    /// Whether anything but a list of exports refers to it.
    pub(super) is_used: bool,
}

/// What a module gives to others.
#[derive(Debug)]
pub(super) enum Export {
    /// A binding of its own, or an import of it.
    Local { name: String, symbol: SymbolId },
    /// `export { a as b } from`, `export * as b from`.
    From { name: String, request: usize, imported: Imported },
    /// `export * from`.
    All { request: usize },
}

/// Exports as they are written, by name of the local binding.
enum Written {
    Local { name: String, local: String },
    Ready(Export),
}

pub(super) fn collect<'a>(
    allocator: &'a Allocator,
    path: &str,
    source: &'a str,
) -> Result<Module<'a>, Vec<Diagnostic>> {
    let mut program = stripped(allocator, path, source)?;
    let mut taken = Taken::new(allocator, source);
    taken.take_exports(&mut program);
    // Bindings are found out anew, since stripping and taking out change them.
    let scoping = SemanticBuilder::new().build(&program).semantic.into_scoping();
    let imports = taken.take_imports(&mut program, &scoping);
    let exports = taken.exports(&scoping);
    Ok(Module { path: path.to_owned(), source, program, scoping, requests: taken.requests, imports, exports })
}

fn stripped<'a>(
    allocator: &'a Allocator,
    path: &str,
    source: &'a str,
) -> Result<Program<'a>, Vec<Diagnostic>> {
    let diagnostics = |list: &[oxc::diagnostics::OxcDiagnostic]| -> Vec<Diagnostic> {
        list.iter().map(|found| Diagnostic::from_oxc(path, source, found)).collect()
    };
    let source_type = SourceType::from_path(path).unwrap_or_else(|_| SourceType::ts()).with_module(true);
    let parsed = Parser::new(allocator, source, source_type).parse();
    if parsed.panicked || !parsed.diagnostics.is_empty() {
        return Err(diagnostics(&parsed.diagnostics));
    }
    let dynamic: Vec<Diagnostic> = parsed
        .module_record
        .dynamic_imports
        .iter()
        .map(|import| {
            Diagnostic::at(
                path,
                source,
                import.span,
                "import() cannot be linked: write an import at the top of the file",
            )
        })
        .collect();
    if !dynamic.is_empty() {
        return Err(dynamic);
    }
    let mut program = parsed.program;
    let checked = SemanticBuilder::new_compiler().with_enum_eval(true).build(&program);
    if checked.diagnostics.has_errors() {
        return Err(diagnostics(&checked.diagnostics));
    }
    let scoping = checked.semantic.into_scoping();
    let done = Transformer::new(allocator, Path::new(path), &TransformOptions::default())
        .build_with_scoping(scoping, &mut program);
    if done.diagnostics.has_errors() {
        return Err(diagnostics(&done.diagnostics));
    }
    Ok(program)
}

/// What is taken out of a program.
struct Taken<'a> {
    builder: AstBuilder<'a>,
    allocator: &'a Allocator,
    source: &'a str,
    requests: Vec<ModuleRequest>,
    written: Vec<Written>,
}

impl<'a> Taken<'a> {
    fn new(allocator: &'a Allocator, source: &'a str) -> Self {
        Self {
            builder: AstBuilder::new(allocator),
            allocator,
            source,
            requests: Vec::new(),
            written: Vec::new(),
        }
    }

    fn request(&mut self, specifier: &str, span: Span) -> usize {
        if let Some(known) = self.requests.iter().position(|request| request.specifier == specifier) {
            return known;
        }
        self.requests.push(ModuleRequest { specifier: specifier.to_owned(), span });
        self.requests.len() - 1
    }

    /// Declarations stay without their `export`; lists of exports go. Imports stay for now, but count as requests.
    fn take_exports(&mut self, program: &mut Program<'a>) {
        let body = program.body.take_in(&self.allocator);
        let mut kept = ArenaVec::new_in(&self.allocator);
        for statement in body {
            if let Some(statement) = self.without_export(statement) {
                kept.push(statement);
            }
        }
        program.body = kept;
    }

    fn without_export(&mut self, statement: Statement<'a>) -> Option<Statement<'a>> {
        match statement {
            Statement::ImportDeclaration(import) => {
                self.request(&import.source.value, import.source.span);
                Some(Statement::ImportDeclaration(import))
            }
            Statement::ExportDeclaration(export) => {
                let declaration = export.unbox().declaration;
                self.declared(&declaration);
                Some(Statement::from(declaration))
            }
            Statement::ExportNamedDeclaration(export) => {
                for specifier in &export.specifiers {
                    self.written.push(Written::Local {
                        name: name_of(&specifier.exported),
                        local: name_of(&specifier.local),
                    });
                }
                None
            }
            Statement::ExportFromDeclaration(export) => {
                let request = self.request(&export.source.value, export.source.span);
                for specifier in &export.specifiers {
                    self.written.push(Written::Ready(Export::From {
                        name: name_of(&specifier.exported),
                        request,
                        imported: Imported::Name(name_of(&specifier.local)),
                    }));
                }
                None
            }
            Statement::ExportAllDeclaration(export) => {
                let request = self.request(&export.source.value, export.source.span);
                self.written.push(Written::Ready(match &export.exported {
                    Some(name) => {
                        Export::From { name: name_of(name), request, imported: Imported::Namespace }
                    }
                    None => Export::All { request },
                }));
                None
            }
            Statement::ExportDefaultDeclaration(export) => {
                let span = export.span;
                self.default_export(export.unbox().declaration, span)
            }
            other => Some(other),
        }
    }

    fn declared(&mut self, declaration: &Declaration<'a>) {
        let mut names = Vec::new();
        match declaration {
            Declaration::VariableDeclaration(variables) => {
                for declarator in &variables.declarations {
                    names
                        .extend(declarator.id.get_binding_identifiers().iter().map(|id| id.name.to_string()));
                }
            }
            Declaration::FunctionDeclaration(function) => {
                names.extend(function.id.as_ref().map(|id| id.name.to_string()));
            }
            Declaration::ClassDeclaration(class) => {
                names.extend(class.id.as_ref().map(|id| id.name.to_string()));
            }
            _ => {}
        }
        self.written.extend(names.into_iter().map(|name| Written::Local { local: name.clone(), name }));
    }

    /// `export default` becomes a declaration with a name.
    fn default_export(
        &mut self,
        kind: ExportDefaultDeclarationKind<'a>,
        span: Span,
    ) -> Option<Statement<'a>> {
        let own_name = |id: Option<&BindingIdentifier<'a>>| id.map(|id| id.name.to_string());
        let (local, statement) = match kind {
            ExportDefaultDeclarationKind::FunctionDeclaration(mut function) => {
                let name = own_name(function.id.as_ref()).unwrap_or_else(|| self.free_name());
                function.id.get_or_insert_with(|| self.identifier(span, &name));
                (name, Statement::FunctionDeclaration(function))
            }
            ExportDefaultDeclarationKind::ClassDeclaration(mut class) => {
                let name = own_name(class.id.as_ref()).unwrap_or_else(|| self.free_name());
                class.id.get_or_insert_with(|| self.identifier(span, &name));
                (name, Statement::ClassDeclaration(class))
            }
            ExportDefaultDeclarationKind::TSInterfaceDeclaration(_) => return None,
            expression => {
                let name = self.free_name();
                let id = BindingPattern::BindingIdentifier(ArenaBox::new_in(
                    self.identifier(span, &name),
                    &self.allocator,
                ));
                let value = expression.into_expression();
                let declarator = VariableDeclarator::new(span, id, None, Some(value), false, &self.builder);
                let declarators = ArenaVec::from_iter_in([declarator], &self.allocator);
                let declaration = VariableDeclaration::boxed(
                    span,
                    VariableDeclarationKind::Const,
                    declarators,
                    false,
                    &self.builder,
                );
                (name, Statement::VariableDeclaration(declaration))
            }
        };
        self.written.push(Written::Local { name: "default".to_owned(), local });
        Some(statement)
    }

    fn identifier(&self, span: Span, name: &str) -> BindingIdentifier<'a> {
        BindingIdentifier::new(
            Span::new(span.start, span.start),
            self.allocator.alloc_str(name),
            &self.builder,
        )
    }

    /// A name that the file does not use.
    fn free_name(&self) -> String {
        let mut name = "default_export".to_owned();
        while self.source.contains(&name) {
            name.push('_');
        }
        name
    }

    /// Takes imports out; what is imported as a type alone is not among them.
    fn take_imports(&mut self, program: &mut Program<'a>, scoping: &Scoping) -> Vec<Import> {
        let mut imports = Vec::new();
        let body = program.body.take_in(&self.allocator);
        let mut kept = ArenaVec::new_in(&self.allocator);
        for statement in body {
            let Statement::ImportDeclaration(import) = statement else {
                kept.push(statement);
                continue;
            };
            if import.import_kind == ImportOrExportKind::Type {
                continue;
            }
            let request = self.request(&import.source.value, import.source.span);
            for specifier in import.specifiers.iter().flatten() {
                imports.extend(imported(specifier, request, scoping));
            }
        }
        program.body = kept;
        imports
    }

    fn exports(&mut self, scoping: &Scoping) -> Vec<Export> {
        let written = std::mem::take(&mut self.written);
        written
            .into_iter()
            .filter_map(|export| match export {
                Written::Ready(export) => Some(export),
                // What has no binding is a type.
                Written::Local { name, local } => scoping
                    .get_root_binding(local.as_str().into())
                    .map(|symbol| Export::Local { name, symbol }),
            })
            .collect()
    }
}

fn imported(specifier: &ImportDeclarationSpecifier<'_>, request: usize, scoping: &Scoping) -> Option<Import> {
    let (local, imported) = match specifier {
        ImportDeclarationSpecifier::ImportSpecifier(named)
            if named.import_kind == ImportOrExportKind::Type =>
        {
            return None;
        }
        ImportDeclarationSpecifier::ImportSpecifier(named) => {
            (&named.local, Imported::Name(name_of(&named.imported)))
        }
        ImportDeclarationSpecifier::ImportDefaultSpecifier(default) => {
            (&default.local, Imported::Name("default".to_owned()))
        }
        ImportDeclarationSpecifier::ImportNamespaceSpecifier(namespace) => {
            (&namespace.local, Imported::Namespace)
        }
    };
    let symbol = local.symbol_id.get()?;
    Some(Import {
        symbol,
        request,
        imported,
        span: specifier.span(),
        is_used: !scoping.get_resolved_reference_ids(symbol).is_empty(),
    })
}

fn name_of(name: &ModuleExportName<'_>) -> String {
    name.name().to_string()
}
