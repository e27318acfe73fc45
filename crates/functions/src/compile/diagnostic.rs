use std::fmt;

use oxc::{
    diagnostics::{LabeledSpan, OxcDiagnostic},
    span::Span,
};

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub file: String,
    /// The line, from 1; 0: the file as a whole.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// What is wrong, and what to do.
    pub message: String,
    /// The line's text.
    pub source_line: String,
    /// The npm package that is imported, if that is what cannot be done here: a bundler may have it.
    pub package: Option<String>,
}

impl Diagnostic {
    /// About a file as a whole.
    pub(super) fn of_project(file: &str, message: &str) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message: message.to_owned(),
            source_line: String::new(),
            package: None,
        }
    }

    /// About a place of a file's text.
    pub(super) fn at(file: &str, source: &str, span: Span, message: impl Into<String>) -> Self {
        let offset = (span.start as usize).min(source.len());
        let before = source.get(..offset).unwrap_or(source);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Self {
            file: file.to_owned(),
            line: u32::try_from(before.matches('\n').count() + 1).unwrap_or(u32::MAX),
            column: u32::try_from(before[line_start..].chars().count() + 1).unwrap_or(u32::MAX),
            message: message.into(),
            source_line: source[line_start..].lines().next().unwrap_or_default().to_owned(),
            package: None,
        }
    }

    pub(super) fn from_oxc(file: &str, source: &str, diagnostic: &OxcDiagnostic) -> Self {
        let offset = diagnostic.labels.first().map_or(0, LabeledSpan::offset);
        let mut message = diagnostic.message.to_string();
        if let Some(help) = &diagnostic.help {
            message.push_str(". ");
            message.push_str(help);
        }
        Self::at(file, source, Span::new(offset, offset), message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(formatter, "{} {}", self.file, self.message);
        }
        let Self { file, line, column, message, source_line, .. } = self;
        // Terminals differ in how wide a tab is.
        let shown = |text: &str| text.replace('\t', "  ");
        let before: String = source_line.chars().take((*column as usize).saturating_sub(1)).collect();
        let caret = " ".repeat(shown(&before).chars().count());
        write!(formatter, "{file}:{line}:{column}: {message}\n  {}\n  {caret}^", shown(source_line))
    }
}
