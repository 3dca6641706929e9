//! A YAML file as a tree that remembers on which line everything stands.
//!
//! Read by events, because no message may quote what it stumbles over: there are hashes of passwords in the file.

use std::collections::HashSet;

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::{Marker, ScanError, TScalarStyle};

use super::error::Problem;

/// How deep things may stand in each other. Three levels are needed.
const DEEPEST: usize = 16;

/// Something, and its line, counted from 1.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Debug)]
pub(super) enum Value {
    /// Nothing, or `null` without quotes.
    Null,
    /// Any other scalar, as it is spelled.
    Text(String),
    /// In the order of the file; no key stands twice.
    Map(Vec<(String, Node)>),
    /// What is in it is of no interest: nowhere is a list right.
    List,
}

/// The tree of a file's only document; an empty file is [`Value::Null`].
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
    };
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => {
                return Ok(Node {
                    line: 1,
                    value: Value::Null,
                });
            }
            (Event::DocumentStart, _) => break,
            _ => {}
        }
    }
    let first = reader.next()?;
    let root = reader.node(first, 0)?;
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(root),
            (Event::DocumentStart, mark) => return Err(at(mark, "a second document begins")),
            _ => {}
        }
    }
}

struct Reader<'t> {
    parser: Parser<std::str::Chars<'t>>,
}

impl Reader<'_> {
    fn next(&mut self) -> Result<(Event, Marker), Problem> {
        let next = self.parser.next_token();
        next.map_err(|error: ScanError| at(*error.marker(), "this is not valid YAML"))
    }

    fn node(&mut self, (event, mark): (Event, Marker), depth: usize) -> Result<Node, Problem> {
        if depth > DEEPEST {
            return Err(at(mark, "too many nested levels"));
        }
        let value = match event {
            Event::Scalar(text, TScalarStyle::Plain, ..)
                if matches!(text.as_str(), "" | "~" | "null") =>
            {
                Value::Null
            }
            Event::Scalar(text, ..) => Value::Text(text),
            Event::MappingStart(..) => self.map(depth)?,
            Event::SequenceStart(..) => self.list(depth)?,
            Event::Alias(_) => return Err(at(mark, "aliases (*) are not supported")),
            _ => return Err(at(mark, "this is not valid YAML")),
        };
        Ok(Node {
            line: mark.line(),
            value,
        })
    }

    fn map(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut entries = Vec::new();
        let mut known = HashSet::new();
        loop {
            let (key, mark) = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Map(entries)),
                (Event::Scalar(key, ..), mark) => (key, mark),
                (_, mark) => return Err(at(mark, "a key is not a text")),
            };
            if !known.insert(key.clone()) {
                return Err(at(mark, "duplicate key"));
            }
            let first = self.next()?;
            let mut node = self.node(first, depth + 1)?;
            // Where the key stands is where people look.
            node.line = mark.line();
            entries.push((key, node));
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Problem> {
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List),
                first => drop(self.node(first, depth + 1)?),
            }
        }
    }
}

fn at(mark: Marker, what: &str) -> Problem {
    Problem {
        line: mark.line(),
        what: what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_keys() {
        let root = parse("# a comment\na:\n  b: 'x'\n  c:\nd: [1, {e: 2}]\n").unwrap();
        let Value::Map(entries) = root.value else {
            panic!("{root:?}");
        };
        let [(a, first), (d, second)] = entries.as_slice() else {
            panic!("{entries:?}");
        };
        assert_eq!((a.as_str(), first.line), ("a", 2));
        assert_eq!((d.as_str(), second.line), ("d", 5));
        assert!(matches!(second.value, Value::List));
        let Value::Map(inner) = &first.value else {
            panic!("{first:?}");
        };
        assert!(matches!(&inner[0].1.value, Value::Text(text) if text == "x"));
        assert!(matches!(inner[1].1.value, Value::Null));
    }

    #[test]
    fn an_empty_file_is_nothing() {
        for text in ["", "# only a comment\n", "---\n"] {
            assert!(matches!(parse(text).unwrap().value, Value::Null), "{text}");
        }
    }

    #[test]
    fn what_is_no_plain_tree_is_told_with_its_line() {
        let deep = "[".repeat(100);
        for (text, line) in [
            ("a: 1\na: 2\n", 2),
            ("a: &x 1\nb: *x\n", 2),
            ("a: 1\n---\nb: 2\n", 2),
            ("a:\n  - b\n c: 1\n", 3),
            ("a: 'x\n", 1),
            ("? [a]\n: 1\n", 1),
            (&deep, 1),
        ] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text}");
        }
    }
}
