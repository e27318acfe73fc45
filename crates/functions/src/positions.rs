//! Positions in a bundle, told as positions in the files that it was made from.

use oxc_sourcemap::SourceMap;
use serde::{Deserialize, Serialize};

/// The name that a bundle has for the engine, as it stands in stacks.
pub(crate) const BUNDLE: &str = "functions.js";

/// What a frame of a stack begins with.
const FRAME: &str = "    at ";
/// How much of a line an excerpt shows, characters, and how much of that before the place (bytes).
const EXCERPT_MAX: usize = 100;
const EXCERPT_BEFORE: usize = 40;

/// A place in a source file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePosition {
    /// The file, as the source map names it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

/// A source map, reduced to what positions need.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Positions {
    files: Vec<String>,
    /// By place in the bundle, ascending.
    tokens: Vec<Token>,
}

/// One mapping; lines and columns from 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Token {
    bundle: (u32, u32),
    file: u32,
    source: (u32, u32),
}

impl Positions {
    /// Of a source map; one that cannot be read maps nothing, since a program runs without it as well.
    pub(crate) fn of(source_map: Option<&str>) -> Self {
        let Some(map) = source_map.and_then(|text| SourceMap::from_json_string(text).ok()) else {
            return Self::default();
        };
        let files = map.get_sources().map(|file| file.trim_start_matches(['.', '/']).to_owned()).collect();
        let tokens = map.get_tokens().filter_map(|token| {
            Some(Token {
                bundle: (token.get_dst_line(), token.get_dst_col()),
                file: token.get_source_id()?,
                source: (token.get_src_line(), token.get_src_col()),
            })
        });
        let mut tokens: Vec<Token> = tokens.collect();
        tokens.sort_by_key(|token| token.bundle);
        Self { files, tokens }
    }

    /// Where a place of the bundle (line and column from 1) comes from.
    fn map(&self, line: u32, column: u32) -> Option<SourcePosition> {
        let place = (line.checked_sub(1)?, column.saturating_sub(1));
        let after = self.tokens.partition_point(|token| token.bundle <= place);
        let at = |index: usize| self.tokens.get(index).filter(|token| token.bundle.0 == place.0);
        // What the engine knows of by its beginning alone it places at the beginning of a line.
        let token = after.checked_sub(1).and_then(at).or_else(|| at(after))?;
        let file = self.files.get(token.file as usize)?.clone();
        Some(SourcePosition { file, line: token.source.0 + 1, column: token.source.1 + 1 })
    }

    /// As [`Self::map`], for a byte of the bundle.
    pub(crate) fn of_offset(&self, bundle: &str, offset: usize) -> Option<SourcePosition> {
        let before = bundle.get(..offset)?;
        let line = before.bytes().filter(|byte| *byte == b'\n').count();
        let column = before.rsplit('\n').next().unwrap_or("").encode_utf16().count();
        self.map(u32::try_from(line).ok()? + 1, u32::try_from(column).ok()? + 1)
    }

    /// A stack of the engine with the places in the bundle mapped, without the frames of Ferry's own modules.
    pub(crate) fn of_stack(&self, stack: &str) -> String {
        let frames = stack.lines().filter(|frame| !is_of_ferry(frame));
        frames.map(|frame| self.of_frame(frame)).collect::<Vec<_>>().join("\n")
    }

    /// A text with stacks in it, as consoles write errors: their frames as [`Self::of_stack`] tells them.
    pub(crate) fn of_text(&self, text: String) -> String {
        if !text.contains(FRAME) {
            return text;
        }
        let lines = text.trim_end().lines().filter(|line| !(line.starts_with(FRAME) && is_of_ferry(line)));
        let told =
            lines.map(|line| if line.starts_with(FRAME) { self.of_frame(line) } else { line.to_owned() });
        told.collect::<Vec<_>>().join("\n")
    }

    fn of_frame(&self, frame: &str) -> String {
        let Some((start, end, line, column)) = place_in(frame) else { return frame.to_owned() };
        let Some(position) = self.map(line, column) else { return frame.to_owned() };
        let SourcePosition { file, line, column } = position;
        format!("{}{file}:{line}:{column}{}", &frame[..start], &frame[end..])
    }

    /// The innermost place in a stack that is the bundle's; unmapped if the map does not know it.
    pub(crate) fn first_of(&self, stack: &str) -> Option<SourcePosition> {
        let (_, _, line, column) = stack.lines().find_map(place_in)?;
        Some(self.map(line, column).unwrap_or(SourcePosition { file: BUNDLE.to_owned(), line, column }))
    }
}

/// What stands in the bundle around the innermost place of a stack, where the engine tells no more.
pub(crate) fn excerpt(bundle: &str, stack: &str) -> Option<String> {
    let (_, _, line, column) = stack.lines().find_map(place_in)?;
    let line = bundle.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?;
    // The engine counts columns in bytes.
    let begin = usize::try_from(column).ok()?.saturating_sub(EXCERPT_BEFORE + 1);
    let text: String = line[line.floor_char_boundary(begin)..].chars().take(EXCERPT_MAX).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Whether a frame is one of Ferry's own modules, or of the engine.
fn is_of_ferry(frame: &str) -> bool {
    frame.contains("ferry:") || frame.ends_with("(native)")
}

/// The place in the bundle that a frame names: where it stands in the frame, its line and its column.
fn place_in(frame: &str) -> Option<(usize, usize, u32, u32)> {
    let start = frame.find(BUNDLE).filter(|start| {
        let before = frame[..*start].chars().next_back();
        before.is_none_or(|before| matches!(before, ' ' | '('))
    })?;
    let mut end = start + BUNDLE.len();
    let mut number = || {
        let rest = frame[end..].strip_prefix(':')?;
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        end += 1 + digits;
        rest[..digits].parse::<u32>().ok()
    };
    let (line, column) = (number()?, number()?);
    Some((start, end, line, column))
}
