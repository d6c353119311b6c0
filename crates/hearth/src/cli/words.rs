//! Figures, times and tables as people read them. What comes from a server or a folder is shown without its control
//! characters: a model's name must not steer a terminal.

pub(super) use hearth_hub::error::bytes as size;

/// A stretch of time in its largest unit.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How long ago a moment was, both in seconds of Unix.
pub(super) fn ago(then: Option<u64>, now: u64) -> String {
    then.map_or("never".to_owned(), |then| format!("{} ago", span(now.saturating_sub(then))))
}

/// A number with its noun.
pub(super) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// The text without what a terminal would obey.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// To which side a column's cells are put.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Lines of a head and its rows; each column is as wide as its widest cell.
pub(super) fn table<const N: usize>(head: [(&str, Side); N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows.iter().map(|row| row.each_ref().map(|cell| plain(cell))).collect();
    let titles = head.map(|(title, _)| title.to_owned());
    let all = || [&titles].into_iter().chain(&rows);
    let widths: [usize; N] =
        std::array::from_fn(|column| all().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let cell = |row: &[String; N], column: usize| match (head[column].1, widths[column]) {
        (Side::Left, width) => format!("{:<width$}", row[column]),
        (Side::Right, width) => format!("{:>width$}", row[column]),
    };
    let line = |row| (0..N).map(|column| cell(row, column)).collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n";
    all().map(line).collect()
}

/// Lines of names and what belongs to them; those without anything are left out.
pub(super) fn fields(fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let told = fields.iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| format!("{name:<width$}  {}\n", plain(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (bytes, text) in [(0, "0.0 kB"), (999_949, "999.9 kB"), (1_000_000, "1.0 MB"), (2_260_000_000, "2.3 GB")] {
            assert_eq!(size(bytes), text);
        }
        for (seconds, text) in [(59, "59 s"), (60, "1 min"), (7200, "2 h"), (172_800, "2 d")] {
            assert_eq!(span(seconds), text);
        }
        assert_eq!((ago(None, 9).as_str(), ago(Some(5), 9).as_str()), ("never", "4 s ago"));
        assert_eq!((count(1, "file"), count(2, "file")), ("1 file".into(), "2 files".into()));
    }

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let rows =
            [["ember".into(), "1.3 MB".into(), String::new()], ["a\u{1b}[31mb".into(), "2.0 GB".into(), "x".into()]];
        let head = [("NAME", Side::Left), ("SIZE", Side::Right), ("USED", Side::Left)];
        let expected = "NAME      SIZE  USED\nember   1.3 MB\na[31mb  2.0 GB  x\n";
        assert_eq!(table(head, &rows), expected);
        assert_eq!(table(head, &[]), "NAME  SIZE  USED\n");
    }

    #[test]
    fn fields_without_a_value_are_left_out() {
        let list = [("Name", "Ember".to_owned()), ("Aliases", String::new()), ("Repository", "a\n/b".to_owned())];
        assert_eq!(fields(&list), "Name        Ember\nRepository  a/b\n");
    }
}
