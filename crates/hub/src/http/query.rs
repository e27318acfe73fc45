//! The query of a request under `/v1`, read against the names that its endpoint knows.

use std::borrow::Cow;

use ferry_types::{Error, Reason, Result};
use http::request::Parts;

/// The parameter that carries an API key on every request.
const KEY: &str = "key";

/// The parameters of a request, decoded. Of several of a name the first counts.
pub(crate) struct Query<'r>(Vec<(Cow<'r, str>, Cow<'r, str>)>);

impl<'r> Query<'r> {
    pub(crate) fn of(parts: &'r Parts) -> Self {
        Self(form_urlencoded::parse(parts.uri.query().unwrap_or("").as_bytes()).collect())
    }

    /// Refuses what an endpoint does not know, and what is said twice. For writes: what they would leave unheard
    /// was meant to change what they do.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, naming the parameter and those that there are.
    pub(crate) fn check(&self, known: &[&str]) -> Result<()> {
        for (place, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&&**name) && *name != KEY {
                let takes = match known {
                    [] => "this request takes none".to_owned(),
                    names => format!("this request takes {}", names.join(", ")),
                };
                return Err(bad(format!("unknown parameter {name:?}: {takes}")));
            }
            if self.0[..place].iter().any(|(earlier, _)| earlier == name) {
                return Err(bad(format!("the parameter {name} stands twice: give it once")));
            }
        }
        Ok(())
    }

    /// The value of `name` as it stands, empty or not.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| &**value)
    }

    /// The value of `name`; an empty one is none.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    /// A whole number from `least` to `most`.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` for anything else.
    pub(crate) fn number(&self, name: &str, least: i64, most: i64) -> Result<Option<i64>> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (least..=most).contains(number));
        number.map(Some).ok_or_else(|| bad(format!("{name}: expected a number from {least} to {most}")))
    }
}

fn bad(message: String) -> Error {
    Error::new(Reason::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_hear_every_parameter_or_refuse_it() {
        let check = |uri: &str, known: &[&str]| {
            let (parts, ()) = http::Request::get(uri).body(()).unwrap().into_parts();
            Query::of(&parts).check(known).map_err(|error| error.message.into_owned())
        };
        assert_eq!(check("/?store=a&key=fy_pk_1", &["store"]), Ok(()));
        assert_eq!(
            check("/?stor=a", &["store"]),
            Err("unknown parameter \"stor\": this request takes store".into())
        );
        assert_eq!(check("/?a%0A", &[]), Err("unknown parameter \"a\\n\": this request takes none".into()));
        assert_eq!(
            check("/?store=a&store=b", &["store"]),
            Err("the parameter store stands twice: give it once".into())
        );
    }
}
