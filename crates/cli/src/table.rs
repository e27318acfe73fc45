//! Lists: on a terminal a table with headers, sizes and times for people, as wide as the terminal; in a pipe one line per
//! row with tabs between the fields, numbers as they are.

use std::{
    borrow::Cow,
    io::{self, IsTerminal as _},
};

use ferry_types::{UnixMillis, printable};
use jiff::{Timestamp, Zoned, tz::TimeZone};
use unicode_width::UnicodeWidthStr as _;

use crate::{failure::Failure, output, system};

/// Width of a terminal that does not tell its own.
const WIDTH_DEFAULT: usize = 80;
/// Between two columns.
const GAP: usize = 2;
/// A column that is cut keeps this much.
const CUT_TO: usize = 12;

/// What happens to a column where the terminal is too narrow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Narrow {
    /// It stays whole: an id that is cut is of no use.
    Stays,
    /// Long cells are cut.
    Cut,
    /// It is left out, the last one first.
    LeftOut,
}

/// A column of a list.
#[derive(Clone, Copy)]
pub(crate) struct Column {
    header: &'static str,
    narrow: Narrow,
    right: bool,
    piped: Piped,
}

/// Whether programs get a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Piped {
    Always,
    IfAny,
    Never,
}

impl Column {
    const fn new(header: &'static str, narrow: Narrow) -> Self {
        Self { header, narrow, right: false, piped: Piped::Always }
    }

    /// Ids and times: never cut.
    pub(crate) const fn whole(header: &'static str) -> Self {
        Self::new(header, Narrow::Stays)
    }

    /// Text, cut where it must be.
    pub(crate) const fn text(header: &'static str) -> Self {
        Self::new(header, Narrow::Cut)
    }

    /// What a narrow terminal does without.
    pub(crate) const fn extra(header: &'static str) -> Self {
        Self::new(header, Narrow::LeftOut)
    }

    /// A number, at the right of its column.
    pub(crate) const fn right(mut self) -> Self {
        self.right = true;
        self
    }

    /// Shown on terminals only: programs read the fields that were always there.
    pub(crate) const fn not_piped(mut self) -> Self {
        self.piped = Piped::Never;
        self
    }

    /// The last column, left out of a row in a pipe where its field is empty.
    pub(crate) const fn if_any(mut self) -> Self {
        self.piped = Piped::IfAny;
        self
    }
}

/// A field of a row: for programs, and for people.
pub(crate) struct Cell {
    plain: String,
    shown: Option<String>,
}

impl Cell {
    /// `plain` for programs, `shown` for people.
    pub(crate) fn new(plain: &(impl ToString + ?Sized), shown: impl Into<String>) -> Self {
        Self { plain: plain.to_string(), shown: Some(shown.into()) }
    }

    /// A moment in Unix seconds; 0: none.
    pub(crate) fn time(unix: i64) -> Self {
        Self::new(&unix, if unix == 0 { "-".into() } else { local_time(Timestamp::from_second(unix).ok()) })
    }

    /// A moment in Unix milliseconds, for programs as RFC 3339; 0: none.
    pub(crate) fn moment(unix_ms: i64) -> Self {
        if unix_ms == 0 {
            return Self::new("", "-");
        }
        Self::new(&UnixMillis(unix_ms), local_time(Timestamp::from_millisecond(unix_ms).ok()))
    }

    /// A moment as RFC 3339 has it; anything else is shown as it is.
    pub(crate) fn rfc3339(text: &str) -> Self {
        match text.parse() {
            Ok(moment) => Self::new(text, local_time(Some(moment))),
            Err(_) => text.into(),
        }
    }

    fn shown(&self) -> Cow<'_, str> {
        printable(self.shown.as_ref().unwrap_or(&self.plain))
    }
}

impl<T: ToString + ?Sized> From<&T> for Cell {
    fn from(text: &T) -> Self {
        Self { plain: text.to_string(), shown: None }
    }
}

/// `14:05` of today, `Nov 29 14:05` of this year, else `2024-11-29`: where the person is.
fn local_time(moment: Option<Timestamp>) -> String {
    let (Some(moment), Ok(now)) = (moment, Timestamp::from_second(system::unix_seconds())) else {
        return "-".into();
    };
    let zone = TimeZone::system();
    time_seen_at(&moment.to_zoned(zone.clone()), &now.to_zoned(zone))
}

fn time_seen_at(moment: &Zoned, now: &Zoned) -> String {
    let form = if moment.date() == now.date() {
        "%H:%M"
    } else if moment.year() == now.year() {
        "%b %e %H:%M"
    } else {
        "%Y-%m-%d"
    };
    moment.strftime(form).to_string()
}

/// How long ago: `5 min`, `3 h`, `12 days`.
pub(crate) fn age(unix: i64) -> String {
    let seconds = system::unix_seconds().saturating_sub(unix).max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A list that is being gathered.
pub(crate) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) const fn new(columns: [Column; N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [Cell; N]) {
        self.rows.push(cells);
    }

    /// Prints the list; of one without rows nothing.
    pub(crate) fn print(&self) -> Result<(), Failure> {
        if !io::stdout().is_terminal() {
            return self.rows.iter().try_for_each(|row| self.pipe(row));
        }
        if self.rows.is_empty() {
            return Ok(());
        }
        let width = terminal_size::terminal_size().map_or(WIDTH_DEFAULT, |(width, _)| usize::from(width.0));
        let (text, left_out) = self.draw(width);
        output::block(text)?;
        if !left_out.is_empty() {
            output::note(format_args!("(no room for {}; --json has all)", left_out.join(", ")));
        }
        Ok(())
    }

    fn pipe(&self, row: &[Cell; N]) -> Result<(), Failure> {
        let piped = row.iter().zip(&self.columns).filter(|(cell, column)| match column.piped {
            Piped::Always => true,
            Piped::IfAny => !cell.plain.is_empty(),
            Piped::Never => false,
        });
        let fields: Vec<&str> = piped.map(|(cell, _)| cell.plain.as_str()).collect();
        output::row(&fields)
    }

    /// The lines, and the headers of the columns that had no room.
    fn draw(&self, width: usize) -> (String, Vec<&'static str>) {
        let (widths, left_out) = self.fit(width);
        let mut text = String::new();
        let headers = self.columns.map(|column| Cow::Borrowed(column.header));
        write_line(&mut text, &headers, &self.columns, &widths);
        for row in &self.rows {
            let cells: Vec<Cow<'_, str>> = row.iter().map(Cell::shown).collect();
            write_line(&mut text, &cells, &self.columns, &widths);
        }
        (text, left_out)
    }

    /// The width of each column, `None` where it is left out.
    fn fit(&self, width: usize) -> ([Option<usize>; N], Vec<&'static str>) {
        let mut widths = [None; N];
        for (index, column) in self.columns.iter().enumerate() {
            let cells = self.rows.iter().map(|row| row[index].shown().width());
            widths[index] = cells.chain([column.header.width()]).max();
        }
        let mut left_out = Vec::new();
        loop {
            let (used, least) =
                (used(&widths, |_, width| width), used(&widths, |index, width| self.least(index, width)));
            if used <= width {
                break;
            }
            let extra = (0..N)
                .rev()
                .find(|index| widths[*index].is_some() && self.columns[*index].narrow == Narrow::LeftOut);
            match extra {
                Some(extra) if least > width => {
                    widths[extra] = None;
                    left_out.insert(0, self.columns[extra].header);
                }
                _ => {
                    let widest = (0..N)
                        .filter(|index| widths[*index].is_some_and(|width| width > self.least(*index, width)))
                        .max_by_key(|index| widths[*index]);
                    let Some(widest) = widest else { break };
                    widths[widest] = widths[widest].map(|width| width - 1);
                }
            }
        }
        (widths, left_out)
    }

    /// What a column of this width can be cut to.
    fn least(&self, index: usize, width: usize) -> usize {
        match self.columns[index].narrow {
            Narrow::Stays => width,
            Narrow::Cut | Narrow::LeftOut => width.min(CUT_TO.max(self.columns[index].header.width())),
        }
    }
}

fn used(widths: &[Option<usize>], of: impl Fn(usize, usize) -> usize) -> usize {
    let kept = widths.iter().enumerate().filter_map(|(index, width)| Some(of(index, (*width)?)));
    let (count, sum) = kept.fold((0, 0), |(count, sum), width| (count + 1, sum + width));
    sum + GAP * usize::saturating_sub(count, 1)
}

fn write_line(text: &mut String, cells: &[Cow<'_, str>], columns: &[Column], widths: &[Option<usize>]) {
    let from = text.len();
    for ((cell, column), width) in cells.iter().zip(columns).zip(widths) {
        let Some(width) = *width else { continue };
        let cell = cut(cell, width);
        let blanks = " ".repeat(width - cell.width());
        if text.len() > from {
            text.push_str(&" ".repeat(GAP));
        }
        let parts = if column.right { [&*blanks, &*cell] } else { [&*cell, &*blanks] };
        parts.iter().for_each(|part| text.push_str(part));
    }
    text.truncate(from + text[from..].trim_end().len());
    text.push('\n');
}

/// The cell in at most `width` columns of the terminal.
fn cut(cell: &str, width: usize) -> Cow<'_, str> {
    if cell.width() <= width {
        return Cow::Borrowed(cell);
    }
    let mut kept = String::new();
    for character in cell.chars() {
        kept.push(character);
        if kept.width() + 1 > width {
            kept.pop();
            break;
        }
    }
    Cow::Owned(kept + "…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table<4> {
        let mut table = Table::new([
            Column::whole("ID"),
            Column::text("NAME"),
            Column::whole("SIZE").right().not_piped(),
            Column::extra("DETAIL"),
        ]);
        table.row([(&"db_1").into(), (&"漢字").into(), Cell::new(&4096, "4 KB"), (&"{}").into()]);
        table.row([
            (&"db_22").into(),
            (&"a\x1b[2J\tb").into(),
            Cell::new(&1, "131 MB"),
            (&"x".repeat(30)).into(),
        ]);
        table
    }

    #[test]
    fn columns_stand_below_their_headers() {
        let (text, left_out) = table().draw(80);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "ID     NAME             SIZE  DETAIL");
        assert_eq!(lines[1], "db_1   漢字             4 KB  {}");
        assert!(lines[2].starts_with("db_22  a\\u001b[2J\\tb  131 MB  xxx"), "{text}");
        assert!(left_out.is_empty());
    }

    #[test]
    fn a_narrow_terminal_cuts_text_and_leaves_out_the_least() {
        for (width, left_out) in [(50, vec![]), (40, vec!["DETAIL"]), (30, vec!["DETAIL"])] {
            let (text, found) = table().draw(width);
            assert!(text.lines().all(|line| line.width() <= width), "{width}:\n{text}");
            assert!(text.contains("db_22") && text.contains("131 MB"), "{text}");
            assert_eq!(found, left_out, "{width}:\n{text}");
        }
    }

    #[test]
    fn times_are_as_short_as_they_can_be() {
        let at = |text: &str| text.parse::<Zoned>().unwrap();
        let now = at("2026-11-29T12:00:00+01:00[Europe/Berlin]");
        for (moment, shown) in [
            ("2026-11-29T00:05:00+01:00[Europe/Berlin]", "00:05"),
            ("2026-07-04T09:30:00+02:00[Europe/Berlin]", "Jul  4 09:30"),
            ("2025-12-31T23:59:00+01:00[Europe/Berlin]", "2025-12-31"),
        ] {
            assert_eq!(time_seen_at(&at(moment), &now), shown);
        }
    }
}
