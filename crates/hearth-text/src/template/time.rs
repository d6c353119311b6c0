//! The time that templates print, broken down by the caller, and C's `strftime` over it.

/// A moment on the wall clock of the server's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// Such as 2026.
    pub year: i32,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 60.
    pub second: u32,
    /// 0 for Sunday to 6 for Saturday.
    pub weekday: u32,
}

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Days before each month of a year that is not a leap year.
const BEFORE: [u32; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

impl LocalTime {
    /// The time of a clock in UTC, from seconds since 1970.
    pub fn from_unix(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400);
        let second = seconds.rem_euclid(86_400) as u32;
        let (year, month, day) = civil(days);
        Self {
            year,
            month,
            day,
            hour: second / 3_600,
            minute: second / 60 % 60,
            second: second % 60,
            weekday: (days + 4).rem_euclid(7) as u32,
        }
    }

    /// `format` with its `%` directives replaced, in the C locale. Unknown directives stay as they are.
    pub fn strftime(&self, format: &str) -> String {
        let mut out = String::with_capacity(format.len() + 16);
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            let directive = &rest[at + 1..];
            let flag = directive.chars().next().filter(|c| matches!(c, '-' | '_' | '0' | '^'));
            let name = flag.map_or(directive, |_| &directive[1..]).chars().next();
            match name.and_then(|name| self.directive(name)) {
                Some(text) => out.push_str(&flagged(text, flag)),
                None => out.extend(std::iter::once('%').chain(flag).chain(name)),
            }
            rest = &directive[flag.map_or(0, char::len_utf8) + name.map_or(0, char::len_utf8)..];
        }
        out + rest
    }

    fn directive(&self, name: char) -> Option<String> {
        let day_of_year = self.day_of_year();
        let monday_based = (self.weekday + 6) % 7;
        let hour12 = (self.hour + 11) % 12 + 1;
        Some(match name {
            'a' => self.day_name().get(..3)?.to_owned(),
            'A' => self.day_name().to_owned(),
            'b' | 'h' => self.month_name().get(..3)?.to_owned(),
            'B' => self.month_name().to_owned(),
            'c' => self.strftime("%a %b %e %H:%M:%S %Y"),
            'C' => format!("{:02}", self.year.div_euclid(100)),
            'd' => format!("{:02}", self.day),
            'D' | 'x' => self.strftime("%m/%d/%y"),
            'e' => format!("{:2}", self.day),
            'F' => self.strftime("%Y-%m-%d"),
            'H' => format!("{:02}", self.hour),
            'I' => format!("{hour12:02}"),
            'j' => format!("{day_of_year:03}"),
            'k' => format!("{:2}", self.hour),
            'l' => format!("{hour12:2}"),
            'm' => format!("{:02}", self.month),
            'M' => format!("{:02}", self.minute),
            'n' => "\n".into(),
            'p' => if self.hour < 12 { "AM" } else { "PM" }.into(),
            'r' => self.strftime("%I:%M:%S %p"),
            'R' => self.strftime("%H:%M"),
            'S' => format!("{:02}", self.second),
            't' => "\t".into(),
            'T' | 'X' => self.strftime("%H:%M:%S"),
            'u' => (monday_based + 1).to_string(),
            'U' => format!("{:02}", (day_of_year + 6 - self.weekday) / 7),
            'w' => self.weekday.to_string(),
            'W' => format!("{:02}", (day_of_year + 6 - monday_based) / 7),
            'y' => format!("{:02}", self.year.rem_euclid(100)),
            'Y' => self.year.to_string(),
            // Python's time without a zone writes nothing for these two.
            'z' | 'Z' => String::new(),
            '%' => "%".into(),
            _ => return None,
        })
    }

    fn day_name(&self) -> &'static str {
        DAYS[self.weekday as usize % 7]
    }

    fn month_name(&self) -> &'static str {
        MONTHS[self.month.saturating_sub(1) as usize % 12]
    }

    /// From 1.
    fn day_of_year(&self) -> u32 {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        BEFORE[self.month.saturating_sub(1) as usize % 12] + self.day + u32::from(leap && self.month > 2)
    }
}

/// glibc's flags: `-` no padding, `_` spaces, `0` zeros, `^` upper case.
fn flagged(text: String, flag: Option<char>) -> String {
    let unpadded = text.trim_start_matches([' ', '0']);
    let padding = text.len() - unpadded.len();
    match flag {
        Some('-') if unpadded.is_empty() && !text.is_empty() => "0".into(),
        Some('-') => unpadded.to_owned(),
        Some('_') => " ".repeat(padding) + unpadded,
        Some('0') => "0".repeat(padding) + unpadded,
        Some('^') => text.to_uppercase(),
        _ => text,
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar, after Howard Hinnant's
/// `civil_from_days` (<https://howardhinnant.github.io/date_algorithms.html>): years begin in March, eras have 400 years.
fn civil(days: i64) -> (i32, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month as u32, day as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: LocalTime = LocalTime { year: 2026, month: 3, day: 7, hour: 15, minute: 4, second: 9, weekday: 6 };

    #[test]
    fn directives_are_those_of_c() {
        for (format, expected) in [
            ("%d %b %Y", "07 Mar 2026"),
            ("%Y-%m-%d %H:%M:%S", "2026-03-07 15:04:09"),
            ("%A, %B %-d, %Y", "Saturday, March 7, 2026"),
            ("%I:%M %p|%-I|%e|%_d|%y|%j|%U|%W|%u|%w", "03:04 PM|3| 7| 7|26|066|09|09|6|6"),
            ("%F %T|%D|%R|%c", "2026-03-07 15:04:09|03/07/26|15:04|Sat Mar  7 15:04:09 2026"),
            ("100%% %z%Z%^a", "100% SAT"),
            ("%Q %", "%Q %"),
            ("é%-Qé", "é%-Qé"),
        ] {
            assert_eq!(NOW.strftime(format), expected, "{format}");
        }
    }

    #[test]
    fn seconds_become_a_date() {
        assert_eq!(LocalTime::from_unix(0).strftime("%F %T %a"), "1970-01-01 00:00:00 Thu");
        assert_eq!(LocalTime::from_unix(951_826_153).strftime("%F %T %a"), "2000-02-29 12:09:13 Tue");
        assert_eq!(LocalTime::from_unix(-1).strftime("%F %T %a"), "1969-12-31 23:59:59 Wed");
        assert_eq!(LocalTime::from_unix(4_107_542_400).strftime("%F %a"), "2100-03-01 Mon");
    }
}
