//! Instants as records carry them: RFC 3339 texts of any offset and precision in, UTC with nine digits out
//! (REC-03). The nine digits make the order of the texts the order of the instants.

use ferry_types::UnixMillis;

const NANOS: i128 = 1_000_000_000;
/// Length of the text that [`UnixNanos::write`] appends.
const TEXT_BYTES: usize = 30;

/// Nanoseconds since 1970-01-01T00:00:00Z, from 1677 to 2262.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub i64);

impl From<UnixMillis> for UnixNanos {
    fn from(millis: UnixMillis) -> Self {
        Self(millis.0.saturating_mul(1_000_000))
    }
}

impl UnixNanos {
    /// The beginning: as a cursor, before everything.
    pub const EPOCH: Self = Self(0);

    /// Reads an RFC 3339 time. Digits beyond the ninth are cut; instants outside the range become its nearest end.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let b = text.as_bytes();
        let (year, month, day) = (digits(b, 0, 4)?, digits(b, 5, 2)?, digits(b, 8, 2)?);
        let (hour, minute, second) = (digits(b, 11, 2)?, digits(b, 14, 2)?, digits(b, 17, 2)?);
        let punctuation = *b.get(4)? == b'-'
            && *b.get(7)? == b'-'
            && matches!(*b.get(10)?, b'T' | b't' | b' ')
            && *b.get(13)? == b':'
            && *b.get(16)? == b':';
        // 60 is a leap second: the first moment of the next minute.
        let in_range = (1..=12).contains(&month)
            && (1..=days_in_month(year, month)).contains(&day)
            && hour < 24
            && minute < 60
            && second <= 60;
        if !punctuation || !in_range {
            return None;
        }
        let (fraction, zone) = fraction(&b[19..])?;
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        let nanos = i128::from(seconds - offset(zone)?) * NANOS + i128::from(fraction);
        let nearest_end = if nanos < 0 { i64::MIN } else { i64::MAX };
        Some(Self(i64::try_from(nanos).unwrap_or(nearest_end)))
    }

    /// Appends the instant as `2026-01-01T10:06:15.123456789Z`.
    pub fn write(self, out: &mut Vec<u8>) {
        let (seconds, nanos) = (self.0.div_euclid(1_000_000_000), self.0.rem_euclid(1_000_000_000));
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        for (at, width, value) in [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, second / 3600),
            (14, 2, second / 60 % 60),
            (17, 2, second % 60),
            (20, 9, nanos),
        ] {
            put(&mut text[at..at + width], value);
        }
        out.extend_from_slice(&text);
    }

    /// The instant as text; see [`Self::write`].
    #[must_use]
    pub fn text(self) -> String {
        let mut out = Vec::with_capacity(TEXT_BYTES);
        self.write(&mut out);
        String::from_utf8(out).expect("BUG: digits are UTF-8")
    }

    /// This much later, at most the end of the range.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms.saturating_mul(1_000_000)))
    }

    /// The millisecond that holds it, which is all that a JavaScript clock tells apart.
    #[must_use]
    pub const fn floor_ms(self) -> Self {
        Self(self.0.saturating_sub(self.0.rem_euclid(1_000_000)))
    }
}

fn digits(bytes: &[u8], at: usize, count: usize) -> Option<i64> {
    let digits = bytes.get(at..at + count)?;
    digits
        .iter()
        .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

fn put(out: &mut [u8], mut value: i64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).expect("BUG: a digit is below ten");
        value /= 10;
    }
}

/// Nanoseconds of `.123`, and what stands behind.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = rest.split_first() else { return Some((0, rest)) };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let nanos = (0..9).fold(0, |nanos, index| {
        nanos * 10 + if index < length { i64::from(digits[index] - b'0') } else { 0 }
    });
    Some((nanos, &digits[length..]))
}

/// Seconds east of UTC.
fn offset(zone: &[u8]) -> Option<i64> {
    if matches!(zone, [b'Z' | b'z']) {
        return Some(0);
    }
    let sign = match zone.first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) = (digits(zone, 1, 2)?, digits(zone, 4, 2)?);
    (zone.len() == 6 && zone[3] == b':' && hours < 24 && minutes < 60)
        .then_some(sign * (hours * 3600 + minutes * 60))
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar. The year begins in March here, so that
/// the leap day is its last; an era is 400 years (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + (month <= 2) as i64, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nanos(text: &str) -> Option<i64> {
        UnixNanos::parse(text).map(|time| time.0)
    }

    // Texts compared as texts put 10:00:00Z after 10:00:00.500Z and misjudged offsets.
    #[test]
    fn offsets_and_precisions_are_one_instant() {
        let ten = nanos("2026-01-01T10:00:00Z").unwrap();
        assert_eq!(ten, 1_767_261_600_000_000_000);
        for same in ["2026-01-01t10:00:00.000z", "2026-01-01T12:30:00+02:30", "2026-01-01 05:00:00-05:00"] {
            assert_eq!(nanos(same), Some(ten), "{same}");
        }
        assert_eq!(nanos("2026-01-01T10:00:00.5Z"), Some(ten + 500_000_000));
        assert_eq!(nanos("2026-01-01T10:00:00.1234567899Z"), Some(ten + 123_456_789));
        assert_eq!(nanos("2016-12-31T23:59:60Z"), nanos("2017-01-01T00:00:00Z"));
        assert_eq!(nanos("9999-12-31T23:59:59Z"), Some(i64::MAX));
        assert_eq!(nanos("0001-01-01T00:00:00Z"), Some(i64::MIN));
    }

    #[test]
    fn invalid_times_are_refused() {
        for bad in [
            "",
            "now",
            "2026-01-01",
            "2026-01-01T10:00Z",
            "2026-13-01T10:00:00Z",
            "2026-02-29T10:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T10:00:00",
            "2026-01-01T10:00:00.Z",
            "2026-01-01T10:00:00+0200",
            "2026-01-01T10:00:00Zz",
            "é026-01-01T10:00:00Z",
            "2026-01-01T10:00:00+02:00x",
        ] {
            assert_eq!(nanos(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_instant_survives_formatting(value: i64) {
            prop_assert_eq!(UnixNanos::parse(&UnixNanos(value).text()), Some(UnixNanos(value)));
        }

        #[test]
        fn texts_are_ordered_as_instants(a in 0_i64.., b in 0_i64..) {
            prop_assert_eq!(a.cmp(&b), UnixNanos(a).text().cmp(&UnixNanos(b).text()));
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "[0-9TZ:+. -]{0,40}|.{0,40}") {
            let _ = UnixNanos::parse(&text);
        }
    }
}
