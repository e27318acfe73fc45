//! What the text of a SELECT says about the rows that it depends on, where that is plain: which tables it joins, and what it
//! compares their columns with (FUN-34).
//!
//! Rows that fail a comparison to which WHERE is bound by AND take no part in the result, whatever the plan, whichever way the
//! tables are joined. They could only make the statement fail, while it looks at them in vain: so everything in WHERE and ON
//! must be of a kind that cannot fail. SQLite has accepted the text before it is looked at here.

/// A piece of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A keyword or a name without quotes.
    Word(&'a str),
    /// A name in quotes.
    Name(String),
    /// A string.
    Text(String),
    /// A number, as it is written.
    Number(&'a str),
    /// `?`, and how many came before.
    Parameter(usize),
    /// An operator.
    Symbol(&'a str),
}

/// A value that a column is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    /// The parameter of this number, from 0.
    Parameter(usize),
    Integer(i64),
    Text(String),
}

/// What a column must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ColumnComparison {
    /// One of these.
    Points(Vec<Operand>),
    /// Above this, or equal if true.
    Above(Operand, bool),
    /// Below this, or equal if true.
    Below(Operand, bool),
    /// Between these, or equal to one.
    Between(Operand, Operand),
}

/// A column as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnName {
    /// The table, or what it is called here.
    pub(super) of: Option<String>,
    pub(super) name: String,
}

/// What a SELECT joins and compares.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PlainSelect {
    /// Names in FROM, and what each is called in the statement.
    pub(super) tables: Vec<(String, String)>,
    /// What every row of the result satisfies.
    pub(super) compared: Vec<(ColumnName, ColumnComparison)>,
    /// Patterns that are too long make LIKE fail.
    pub(super) has_like: bool,
}

/// Words that say that there is more than one SELECT, or something else that is not looked through.
const NOT_PLAIN: [&str; 7] = ["WITH", "VALUES", "UNION", "INTERSECT", "EXCEPT", "WINDOW", "INDEXED"];
/// What may follow WHERE.
const AFTER_WHERE: [&str; 4] = ["GROUP", "HAVING", "ORDER", "LIMIT"];
/// Operators of words that may fail, or that change what a comparison means.
const MAY_FAIL: [&str; 14] = [
    "CASE", "WHEN", "THEN", "ELSE", "END", "CAST", "COLLATE", "RAISE", "EXISTS", "ESCAPE", "GLOB", "MATCH",
    "REGEXP", "AS",
];
/// Words before a parenthesis that call no function.
const BEFORE_LIST: [&str; 7] = ["AND", "OR", "NOT", "IN", "IS", "BETWEEN", "ON"];
/// Operators that cannot fail.
const SAFE: [&str; 12] = ["=", "==", "<>", "!=", "<", "<=", ">", ">=", "(", ")", ",", "."];
const JOINS: [&str; 8] = ["JOIN", "INNER", "CROSS", "LEFT", "RIGHT", "FULL", "OUTER", "NATURAL"];

impl Token<'_> {
    fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(said) if said.eq_ignore_ascii_case(word))
    }

    fn is_one_of(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.is_word(word))
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self, Self::Symbol(said) if *said == symbol)
    }

    fn name(&self) -> Option<String> {
        match self {
            Self::Word(word) => Some((*word).to_owned()),
            Self::Name(name) => Some(name.clone()),
            _ => None,
        }
    }

    fn operand(&self) -> Option<Operand> {
        match self {
            Self::Parameter(number) => Some(Operand::Parameter(*number)),
            Self::Text(text) => Some(Operand::Text(text.clone())),
            Self::Number(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                number.parse().ok().map(Operand::Integer)
            }
            _ => None,
        }
    }
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || byte >= 0x80
}

/// What stands between quotes, and how long that is with them.
fn quoted(text: &str, closing: char) -> Option<(String, usize)> {
    let (mut inside, mut rest) = (String::new(), text.get(1..)?);
    loop {
        let end = rest.find(closing)?;
        inside.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        if closing == ']' || !rest.starts_with(closing) {
            return Some((inside, text.len() - rest.len()));
        }
        inside.push(closing);
        rest = &rest[1..];
    }
}

/// `None`: it has parameters with numbers or names, or something that is not known here.
fn tokens(mut text: &str) -> Option<Vec<Token<'_>>> {
    let (mut found, mut parameters) = (Vec::new(), 0);
    loop {
        text = text.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
        let bytes = text.as_bytes();
        let Some(first) = bytes.first() else { return Some(found) };
        let second = bytes.get(1).copied().unwrap_or_default();
        let end = match (first, second) {
            (b'-', b'-') => text.find('\n').unwrap_or(text.len()),
            (b'/', b'*') => text[2..].find("*/").map_or(text.len(), |end| end + 4),
            (b'\'', _) => {
                let (inside, end) = quoted(text, '\'')?;
                found.push(Token::Text(inside));
                end
            }
            (b'"' | b'`', _) => {
                let (inside, end) = quoted(text, char::from(*first))?;
                found.push(Token::Name(inside));
                end
            }
            (b'[', _) => {
                let (inside, end) = quoted(text, ']')?;
                found.push(Token::Name(inside));
                end
            }
            (b'?', _) if !second.is_ascii_digit() => {
                found.push(Token::Parameter(parameters));
                parameters += 1;
                1
            }
            (b'?' | b':' | b'@' | b'$' | b'#', _) => return None,
            (b'0'..=b'9', _) => {
                let is_within = |byte: &u8| is_name(*byte) || *byte == b'.';
                let end = bytes.iter().position(|byte| !is_within(byte)).unwrap_or(bytes.len());
                found.push(Token::Number(&text[..end]));
                end
            }
            _ if is_name(*first) => {
                let end = bytes.iter().position(|byte| !is_name(*byte)).unwrap_or(bytes.len());
                found.push(Token::Word(&text[..end]));
                end
            }
            _ => {
                let end = if SAFE.iter().any(|symbol| symbol.len() == 2 && text.starts_with(symbol)) {
                    2
                } else {
                    1
                };
                found.push(Token::Symbol(text.get(..end)?));
                end
            }
        };
        text = text.get(end..)?;
    }
}

/// The places of tokens outside of parentheses.
fn outside<'t>(tokens: &'t [Token<'t>]) -> impl Iterator<Item = (usize, &'t Token<'t>)> {
    let mut depth = 0_usize;
    tokens.iter().enumerate().filter(move |(_, token)| {
        if token.is_symbol("(") {
            depth += 1;
        } else if token.is_symbol(")") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && !token.is_symbol(")")
    })
}

/// What is between parentheses that hold all of it.
fn inside<'t>(mut tokens: &'t [Token<'t>]) -> &'t [Token<'t>] {
    while let [first, within @ .., last] = tokens {
        if !first.is_symbol("(") || !last.is_symbol(")") || outside(tokens).next().is_some() {
            break;
        }
        // `(a) OR (b)` begins and ends so, too, but is seen from outside in between.
        tokens = within;
    }
    tokens
}

impl PlainSelect {
    /// `None`: it is not plain.
    pub(super) fn of(text: &str) -> Option<Self> {
        let tokens = tokens(text)?;
        let length = tokens.iter().rposition(|token| !token.is_symbol(";"))? + 1;
        let tokens = &tokens[..length];
        let count = |word| tokens.iter().filter(|token| token.is_word(word)).count();
        let begins = tokens.first().is_some_and(|token| token.is_word("SELECT"));
        if !begins || count("SELECT") != 1 || count("FROM") != 1 {
            return None;
        }
        for (place, token) in tokens.iter().enumerate() {
            // `x IN t` reads all of the table t.
            let reads_table =
                token.is_word("IN") && !tokens.get(place + 1).is_some_and(|next| next.is_symbol("("));
            if reads_table || token.is_one_of(&NOT_PLAIN) || token.is_symbol(";") {
                return None;
            }
        }
        let place = |word| outside(tokens).find(|(_, token)| token.is_word(word)).map(|(place, _)| place);
        let (from, filter) = (place("FROM")?, place("WHERE")?);
        let after = outside(tokens).find(|(_, token)| token.is_one_of(&AFTER_WHERE));
        let end = after.map_or(tokens.len(), |(place, _)| place);
        let mut plain = Self::default();
        plain.join(tokens.get(from + 1..filter)?)?;
        plain.filter(tokens.get(filter + 1..end)?)?;
        Some(plain)
    }

    fn join(&mut self, tokens: &[Token<'_>]) -> Option<()> {
        let mut rest = tokens;
        loop {
            let (name, mut after) = rest.split_first()?;
            let name = name.name().filter(|_| !name.is_one_of(&JOINS))?;
            let is_as = after.first().is_some_and(|token| token.is_word("AS"));
            after = if is_as { &after[1..] } else { after };
            let alias = after.first().filter(|token| !token.is_word("ON") && !token.is_one_of(&JOINS));
            let alias = alias.and_then(Token::name);
            if is_as && alias.is_none() {
                return None;
            }
            after = if alias.is_some() { &after[1..] } else { after };
            self.tables.push((name.clone(), alias.unwrap_or(name)));
            if after.first().is_some_and(|token| token.is_word("ON")) {
                let is_next = |token: &Token<'_>| token.is_one_of(&JOINS) || token.is_symbol(",");
                let on = outside(after).find(|(_, token)| is_next(token)).map_or(after.len(), |(at, _)| at);
                self.only_safe(&after[1..on])?;
                after = &after[on..];
            }
            let Some(first) = after.first() else { return Some(()) };
            if first.is_symbol(",") {
                rest = &after[1..];
            } else {
                let join = after.iter().position(|token| token.is_word("JOIN"))?;
                let words = &after[..join];
                if !words.iter().all(|token| token.is_one_of(&JOINS) && !token.is_word("NATURAL")) {
                    return None;
                }
                rest = &after[join + 1..];
            }
        }
    }

    fn filter(&mut self, tokens: &[Token<'_>]) -> Option<()> {
        let tokens = inside(tokens);
        if tokens.is_empty() {
            return None;
        }
        if outside(tokens).any(|(_, token)| token.is_word("OR")) {
            return self.only_safe(tokens);
        }
        let (mut begin, mut is_between, mut parts) = (0, false, Vec::new());
        for (place, token) in outside(tokens) {
            if token.is_word("BETWEEN") {
                is_between = true;
            } else if token.is_word("AND") && !std::mem::take(&mut is_between) {
                parts.push(&tokens[begin..place]);
                begin = place + 1;
            }
        }
        if parts.is_empty() {
            return self.compare(tokens);
        }
        parts.push(&tokens[begin..]);
        parts.into_iter().try_for_each(|part| self.filter(part))
    }

    fn compare(&mut self, tokens: &[Token<'_>]) -> Option<()> {
        match compared(tokens) {
            Some(compared) => {
                self.compared.push(compared);
                Some(())
            }
            None => self.only_safe(tokens),
        }
    }

    /// Whether this cannot fail, whatever the rows hold.
    fn only_safe(&mut self, tokens: &[Token<'_>]) -> Option<()> {
        for (place, token) in tokens.iter().enumerate() {
            let next = tokens.get(place + 1);
            let is_safe = match token {
                Token::Symbol(symbol) => SAFE.contains(symbol),
                Token::Word(_) if token.is_word("LIKE") => {
                    self.has_like = true;
                    matches!(next, Some(Token::Parameter(_) | Token::Text(_)))
                }
                Token::Word(_) | Token::Name(_) => {
                    let is_called = next.is_some_and(|next| next.is_symbol("("));
                    !token.is_one_of(&MAY_FAIL) && (!is_called || token.is_one_of(&BEFORE_LIST))
                }
                Token::Text(_) | Token::Number(_) | Token::Parameter(_) => true,
            };
            if !is_safe {
                return None;
            }
        }
        Some(())
    }
}

/// A column and what it is compared with.
fn compared(tokens: &[Token<'_>]) -> Option<(ColumnName, ColumnComparison)> {
    let (column, rest) = match tokens {
        [table, dot, name, rest @ ..] if dot.is_symbol(".") => {
            (ColumnName { of: Some(table.name()?), name: name.name()? }, rest)
        }
        [name, rest @ ..] => (ColumnName { of: None, name: name.name()? }, rest),
        [] => return None,
    };
    let comparison = match rest {
        [Token::Symbol(symbol), value] => {
            let value = value.operand()?;
            match *symbol {
                "=" | "==" => ColumnComparison::Points(vec![value]),
                ">" => ColumnComparison::Above(value, false),
                ">=" => ColumnComparison::Above(value, true),
                "<" => ColumnComparison::Below(value, false),
                "<=" => ColumnComparison::Below(value, true),
                _ => return None,
            }
        }
        [between, low, and, high] if between.is_word("BETWEEN") && and.is_word("AND") => {
            ColumnComparison::Between(low.operand()?, high.operand()?)
        }
        [word, open, list @ .., close]
            if word.is_word("IN") && open.is_symbol("(") && close.is_symbol(")") =>
        {
            let values = list.split(|token| token.is_symbol(","));
            let one = |value: &[Token<'_>]| match value {
                [value] => value.operand(),
                _ => None,
            };
            ColumnComparison::Points(values.map(one).collect::<Option<_>>()?)
        }
        _ => return None,
    };
    Some((column, comparison))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<String> {
        let PlainSelect { tables, compared, .. } = PlainSelect::of(text)?;
        let tables: Vec<String> = tables.into_iter().map(|(name, alias)| format!("{name} {alias}")).collect();
        let operand = |operand: &Operand| match operand {
            Operand::Parameter(number) => format!("?{number}"),
            Operand::Integer(integer) => integer.to_string(),
            Operand::Text(text) => format!("'{text}'"),
        };
        let compared = compared.into_iter().map(|(ColumnName { of, name }, comparison)| {
            let column = of.map_or_else(|| name.clone(), |of| format!("{of}.{name}"));
            match comparison {
                ColumnComparison::Points(points) => {
                    format!("{column} {}", points.iter().map(operand).collect::<Vec<_>>().join("|"))
                }
                ColumnComparison::Above(low, is_within) => format!("{column} >{is_within} {}", operand(&low)),
                ColumnComparison::Below(high, is_within) => {
                    format!("{column} <{is_within} {}", operand(&high))
                }
                ColumnComparison::Between(low, high) => {
                    format!("{column} {}..{}", operand(&low), operand(&high))
                }
            }
        });
        Some(format!("{} / {}", tables.join(", "), compared.collect::<Vec<_>>().join(", ")))
    }

    // Verifies: FUN-34
    #[test]
    fn comparisons_that_every_row_of_the_result_satisfies_are_found() {
        for (text, found) in [
            (r#"select "id", "name" from "users" where "users"."id" = ?"#, "users users / users.id ?0"),
            (
                r#"select ? from "t" where ("t"."a" = ? and "t"."b" in (?, 3, 'x''y'))  order by a limit ?;"#,
                "t t / t.a ?1, t.b ?2|3|'x'y'",
            ),
            (
                "SELECT * FROM t AS u WHERE u.a BETWEEN 1 AND ? AND NOT b AND c>='x'",
                "t u / u.a 1..?0, c >true 'x'",
            ),
            (
                "select count(*) from a inner join b on (a.x = b.y) left join c on b.z = c.z where a.x < 5 and b.q is not null",
                "a a, b b, c c / a.x <false 5",
            ),
            ("select 1 from a, b x where (((a.i = 1)) and (x.j = 2 or a.k like 'p%'))", "a a, b x / a.i 1"),
            ("select 1 from t where /* id = 1 */ -- x\n [a] == 7", "t t / a 7"),
            ("select 1 from t where a = 1 or a = 2", "t t / "),
            ("select 1 from t where (a = 1) or (a = 2)", "t t / "),
            ("select 1 from t where not (a = 1 and b = 2)", "t t / "),
            ("select 1 from t where not a = 1", "t t / "),
            ("select 1 from t where a = b and a != 3 and a = 1.5 and 3 = a", "t t / "),
        ] {
            assert_eq!(shown(text).as_deref(), Some(found), "{text}");
        }
    }

    // Verifies: FUN-34
    #[test]
    fn what_is_not_plain_says_nothing() {
        for text in [
            "select 1 from t",
            "select (select 1) from t where a = 1",
            "select a in t from t where a = 1",
            "select 1 from t where a = 1 and a in t",
            "select 1 from t where a = 1 and a in (select 1)",
            "select 1 from t where a = 1 union values (1)",
            "with x as (values(1)) select 1 from t where a = 1",
            "select 1 from t where a = 1 and b is distinct from 2",
            "select 1 from (t) where a = 1",
            "select 1 from main.t where a = 1",
            "select 1 from t natural join u where a = 1",
            "select 1 from t join u using (a) where t.a = 1",
            "select 1 from t, json_each(t.b) where t.a = 1",
            "select 1 from t indexed by i where a = 1",
            "select 1 from t where a = ?1",
            "select 1 from t where a = :a",
            "select 1 from t where a = 1 and json_extract(b, '$') = 2",
            "select 1 from t where a = 1 and \"abs\"(b) = 2",
            "select 1 from t where a = 1 and b -> 'x' = 2",
            "select 1 from t where a = 1 and b match 'x'",
            "select 1 from t where a = 1 and b like c",
            "select 1 from t where a = 1 and b like 'x' escape c",
            "select 1 from t where a = 1 collate nocase",
            "select 1 from t where case when a and b = 1 and c then 1 end",
            "select 1 from t join u on json(t.a) where t.a = 1",
            "select 1 from t where a = -1",
            "select 1 from t where a = 1 and window = 2",
            "update t set a = 1 where a = 2",
            "select 'open from t where a = 1",
            "",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }
}
