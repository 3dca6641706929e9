//! Parses CSV text into names by device ID.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::error::{Fault, Problem};
use super::limits::{LONGEST_CELL, MOST_NAMES};
use super::rows::{Rows, line};
use super::{Name, with_key};

/// The accepted separators: a comma, and those of spreadsheets in other languages.
const SEPARATORS: [u8; 3] = *b",;\t";

/// Parses a text.
///
/// # Errors
/// The first mistake, with its line.
pub(super) fn parse(text: &[u8]) -> Result<HashMap<Box<str>, Name>, Fault> {
    let text = match std::str::from_utf8(text) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            return Err(Fault {
                line: line(text, error.valid_up_to()),
                problem: Problem::NotText,
            });
        }
    };
    let (mut rows, columns) = header(text)?;
    let mut names = HashMap::new();
    let mut groups = HashSet::new();
    while rows.advance()? {
        let read = columns.read(&rows, &mut groups);
        let (id, name) = read.map_err(|problem| rows.fault(problem))?;
        let has_room = names.len() < MOST_NAMES;
        match names.entry(id) {
            Entry::Occupied(first) => {
                let first = columns.line_of(first.key(), text);
                return Err(rows.fault(Problem::Twice { first }));
            }
            Entry::Vacant(_) if !has_room => return Err(rows.fault(Problem::TooMany)),
            Entry::Vacant(free) => free.insert(name),
        };
    }
    Ok(names)
}

/// The columns and the rows, with the first separator for which the header has the required columns.
fn header(text: &str) -> Result<(Rows<'_>, Columns), Fault> {
    let read = |separator| {
        let mut rows = Rows::of(text, separator);
        if !rows.advance()? {
            return Err(Fault {
                line: 1,
                problem: Problem::NoColumn("deviceID"),
            });
        }
        match Columns::find(&rows, separator) {
            Ok(columns) => Ok((rows, columns)),
            Err(problem) => Err(rows.fault(problem)),
        }
    };
    let [comma, others @ ..] = SEPARATORS;
    read(comma).or_else(|fault| {
        let mut others = others.into_iter().map(read);
        // Errors of the header are reported for the separator that splits it.
        let is_split = |read: &Result<_, Fault>| match read {
            Err(fault) => fault.problem != Problem::NoColumn("deviceID"),
            Ok(_) => true,
        };
        match fault.problem {
            Problem::NoColumn("deviceID") => others.find(is_split).unwrap_or(Err(fault)),
            _ => Err(fault),
        }
    })
}

/// The positions of the columns.
struct Columns {
    separator: u8,
    count: usize,
    id: usize,
    name: usize,
    group: Option<usize>,
}

impl Columns {
    fn find(header: &Rows<'_>, separator: u8) -> Result<Self, Problem> {
        let find = |wanted: &'static str| {
            let mut found = (0..header.count()).filter(|at| header.cell(*at) == wanted);
            match (found.next(), found.next()) {
                (Some(_), Some(_)) => Err(Problem::ColumnTwice(wanted)),
                (found, _) => Ok(found),
            }
        };
        Ok(Self {
            separator,
            count: header.count(),
            id: find("deviceID")?.ok_or(Problem::NoColumn("deviceID"))?,
            name: find("name")?.ok_or(Problem::NoColumn("name"))?,
            group: find("group")?,
        })
    }

    fn read(
        &self,
        row: &Rows<'_>,
        groups: &mut HashSet<Arc<str>>,
    ) -> Result<(Box<str>, Name), Problem> {
        if row.count() != self.count {
            return Err(Problem::Cells {
                found: row.count(),
                expected: self.count,
            });
        }
        let cell = |at: usize, column| match row.cell(at) {
            long if long.len() > LONGEST_CELL => Err(Problem::TooLong(column)),
            cell => Ok(cell),
        };
        let filled = |at, column| match cell(at, column)? {
            "" => Err(Problem::Empty(column)),
            cell => Ok(cell),
        };
        let id = filled(self.id, "deviceID")?;
        let name = filled(self.name, "name")?;
        let group = self.group.map_or(Ok(""), |at| cell(at, "group"))?;
        let group = match groups.get(group) {
            Some(known) => Arc::clone(known),
            None => {
                let new: Arc<str> = group.into();
                groups.insert(Arc::clone(&new));
                new
            }
        };
        Ok((
            with_key(id, |key| key.into()),
            Name::new(name.into(), group),
        ))
    }

    /// The line of the first record of a device, by its key. Used only for the error of a duplicate.
    fn line_of(&self, id: &str, text: &str) -> usize {
        let mut rows = Rows::of(text, self.separator);
        while rows.advance().unwrap_or(false) {
            if with_key(rows.cell(self.id), |key| key == id) {
                break;
            }
        }
        rows.fault(Problem::NotText).line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All names, in the order of their IDs.
    fn read(text: &str) -> Result<Vec<[String; 3]>, (usize, Problem)> {
        let names = parse(text.as_bytes()).map_err(|fault| (fault.line, fault.problem))?;
        let row = |(id, name): (Box<str>, Name)| {
            [id.into(), name.name.into(), String::from(&*name.group)]
        };
        let mut rows: Vec<_> = names.into_iter().map(row).collect();
        rows.sort();
        Ok(rows)
    }

    #[test]
    fn a_text_is_read_as_people_and_spreadsheets_write_it() {
        let both = [["ut-1", "Aurora", "north"], ["ut-2", "Borealis", ""]];
        for text in [
            "deviceID,name,group\nut-1,Aurora,north\nut-2,Borealis,\n",
            "deviceID,name,group\nut-1,Aurora,north\nut-2,Borealis,",
            "\u{feff}deviceID,name,group\r\nut-1,Aurora,north\r\nut-2,Borealis,\r\n",
            "group,IMO,name,deviceID\nnorth,9,Aurora,ut-1\n,,Borealis,ut-2\n",
            " deviceID , name , group \n\n ut-1 ,\tAurora , north\n  \n\nut-2,Borealis\u{a0}, \n\n",
            "deviceID,name,group\n,,\nut-1,Aurora,north\n , ,\t\nut-2,Borealis,\n,,\n",
            "deviceID;name;group\r\nut-1;Aurora;north\r\n;;\r\nut-2;Borealis;\r\n",
            "group\tdeviceID\tname\nnorth\tut-1\tAurora\n\t\t\n\tut-2\tBorealis\n",
            "\"deviceID\",\"name\",\"group\"\n\"ut-1\",\"Aurora\",\"north\"\n\"ut-2\",\"Borealis\",\"\"\n",
        ] {
            assert_eq!(read(text).unwrap(), both, "{text:?}");
        }
        for (text, expected) in [
            ("deviceID,name,group\n", vec![]),
            ("deviceID,name,group", vec![]),
            ("deviceID,name\nip-ut-1,A\n", vec![["ip-ut-1", "A", ""]]),
            (
                "deviceID,name\nut-1,\"A, \"\"B\"\"\n\\C\r\u{1b}\"\n",
                vec![["ut-1", "A, \"B\"\n\\C\r\u{1b}", ""]],
            ),
            (
                "deviceID,name\nut-1,12\" dish\nUT-2,é\n",
                vec![["ut-1", "12\" dish", ""], ["ut-2", "é", ""]],
            ),
            (
                &format!("deviceID,name\n{0},{0}\n", "x".repeat(1024)),
                vec![[&*"x".repeat(1024), &"x".repeat(1024), ""]],
            ),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_mistake_is_reported_with_its_line() {
        let long = "x".repeat(1025);
        let cells = |found, expected| Problem::Cells { found, expected };
        for (text, line, problem) in [
            ("", 1, Problem::NoColumn("deviceID")),
            ("\n\n", 1, Problem::NoColumn("deviceID")),
            ("ut-1,Aurora,north\n", 1, Problem::NoColumn("deviceID")),
            ("deviceID|name|group\n", 1, Problem::NoColumn("deviceID")),
            ("deviceID;Name\n", 1, Problem::NoColumn("name")),
            ("deviceID;name;name\n", 1, Problem::ColumnTwice("name")),
            ("deviceID;name\nut-1,A\n", 2, cells(1, 2)),
            (
                "deviceID,name\nut-1,A\n,\nUT-1,B\n",
                4,
                Problem::Twice { first: 2 },
            ),
            (
                &format!("deviceID,name\nut-1,A{}\n", ",".repeat(1023)),
                2,
                Problem::TooManyCells,
            ),
            (&",".repeat(100_000), 1, Problem::TooManyCells),
            (
                &format!("deviceID,name\nut-1,{}\n", "x".repeat(70_000)),
                2,
                Problem::LongRecord,
            ),
            ("\n\ndeviceID,Name\n", 3, Problem::NoColumn("name")),
            ("deviceID,name,name\n", 1, Problem::ColumnTwice("name")),
            (
                "deviceID,name,group,group\n",
                1,
                Problem::ColumnTwice("group"),
            ),
            ("deviceID,name\nut-1,A\n\n\nut-2\n", 5, cells(1, 2)),
            ("deviceID,name\r\nut-1,A\r\nut-2,A, B\r\n", 3, cells(3, 2)),
            ("deviceID,name\nut-1,\"A\nB\"\n\0\nut-2,C\n", 4, cells(1, 2)),
            (
                "deviceID,name\nut-1,\"A\nB\"\n,C\n",
                4,
                Problem::Empty("deviceID"),
            ),
            ("deviceID,name\nut-1, \n", 2, Problem::Empty("name")),
            (
                "deviceID,name\nut-1,A\nut-2,B\n ut-1,C\n",
                4,
                Problem::Twice { first: 2 },
            ),
            (
                "deviceID,name\n\nut-1,A\nut-1,A\n",
                4,
                Problem::Twice { first: 3 },
            ),
            ("deviceID,name\nut-1,\"A\nut-2,B\n", 2, Problem::NeverClosed),
            (
                "deviceID,name\nut-1,A\n\r\nut-2,\"B",
                4,
                Problem::NeverClosed,
            ),
            (
                "deviceID,name\nut-1,A\nut-2,\"B\"\"\n",
                3,
                Problem::NeverClosed,
            ),
            ("\"deviceID,name\n", 1, Problem::NeverClosed),
            (
                &format!("deviceID,name\n{long},A\n"),
                2,
                Problem::TooLong("deviceID"),
            ),
            (
                &format!("deviceID,name\nut-1,{long}\n"),
                2,
                Problem::TooLong("name"),
            ),
            (
                &format!("deviceID,name,group\nut-1,A,{long}\n"),
                2,
                Problem::TooLong("group"),
            ),
        ] {
            assert_eq!(read(text), Err((line, problem)), "{text:?}");
        }
        let not_text = parse(b"deviceID,name\nut-1,A\nut-2,Gro\xdf\n").unwrap_err();
        assert_eq!((not_text.line, not_text.problem), (3, Problem::NotText));
    }

    #[test]
    fn at_most_a_million_devices_have_names() {
        let mut text = "deviceID,name\n".to_owned();
        for number in 0..MOST_NAMES {
            text.push_str(&format!("{number},x\n"));
        }
        assert_eq!(parse(text.as_bytes()).unwrap().len(), MOST_NAMES);
        text.push_str("one,more\n");
        let fault = parse(text.as_bytes()).unwrap_err();
        assert_eq!(
            fault,
            Fault {
                line: MOST_NAMES + 2,
                problem: Problem::TooMany
            }
        );
    }

    #[test]
    fn every_message_says_how_to_correct_the_mistake() {
        let fault = parse(b"deviceID,name\nut-1,A,B\n").unwrap_err();
        assert_eq!(
            fault.to_string(),
            "line 2: 3 cells, but the header has 2: use as many separators as in the header, and double quotes around a text that contains one"
        );
        assert_eq!(
            Problem::TooLong("name").to_string(),
            "name is too long: 1024 bytes at most"
        );
        assert_eq!(
            Problem::TooMany.to_string(),
            "too many lines: 1000000 devices at most"
        );
    }
}
