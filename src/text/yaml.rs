//! A strict subset of YAML: a check for files that another library parses, and a parser whose tree has the line of each value.
//!
//! Aliases, with which a few bytes expand to gigabytes, and deep nesting, which overflows the stack, are rejected. Errors do not quote
//! the text, because such files contain secrets.

use std::collections::HashSet;

use yaml_rust2::parser::{Event, Parser};
use yaml_rust2::scanner::{Marker, ScanError, TScalarStyle};

/// The deepest nesting of collections. Configuration files need three levels.
const MAX_DEPTH: usize = 16;

const ALIAS: &str = "aliases (*) are not supported";
const MARKED: &str =
    "anchors (&) and tags (!) are not supported: a text that begins with & or ! must be in quotes";
const TOO_DEEP: &str = "too many nested levels";
const INVALID: &str = "this is not valid YAML";
const NUL: &str = "there is a NUL character: the file is damaged, or is not saved as UTF-8";

/// An error and its line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// Checks a text without building a tree. Invalid YAML passes; the parser that reads the text rejects it.
///
/// # Errors
/// A NUL character, the first alias, or the first collection that is nested too deeply.
pub fn check(text: &str) -> Result<(), Problem> {
    reject_nul(text)?;
    let mut parser = Parser::new_from_str(text);
    let mut depth = 0_usize;
    loop {
        let Ok((event, mark)) = parser.next_token() else {
            return Ok(());
        };
        match event {
            Event::StreamEnd => return Ok(()),
            Event::Alias(_) => return Err(at(mark, ALIAS)),
            Event::MappingStart(..) | Event::SequenceStart(..) if depth >= MAX_DEPTH => {
                return Err(at(mark, TOO_DEEP));
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
            Event::MappingEnd | Event::SequenceEnd => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
}

/// The only document of a text.
#[derive(Debug)]
pub struct Document {
    /// Its value; [`Value::Null`] if it is empty.
    pub root: Node,
    /// The keys that are repeated within a mapping, in the order of the text, each with the line of the repetition. The first value of a
    /// key is used.
    pub repeated: Vec<(usize, String)>,
}

/// A value and its line, counted from 1: the line of its key, if it has one.
#[derive(Debug)]
pub struct Node {
    /// The line.
    pub line: usize,
    /// The value.
    pub value: Value,
}

/// A YAML value.
#[derive(Debug)]
pub enum Value {
    /// Nothing, or `null` without quotes.
    Null,
    /// Any other scalar, as it is spelled.
    Text(String),
    /// A mapping in the order of the text, each key once.
    Map(Vec<(String, Node)>),
    /// A sequence.
    List(Vec<Node>),
}

/// Parses a text.
///
/// # Errors
/// A NUL character, or the first construct that is invalid or not supported.
pub fn parse(text: &str) -> Result<Document, Problem> {
    reject_nul(text)?;
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        repeated: Vec::new(),
    };
    let root = reader.document()?;
    Ok(Document {
        root,
        repeated: reader.repeated,
    })
}

/// The parser takes a NUL for the end of the text, and would ignore the rest of a damaged file.
fn reject_nul(text: &str) -> Result<(), Problem> {
    match text.split_once('\0') {
        None => Ok(()),
        Some((before, _)) => Err(Problem {
            line: 1 + before.matches('\n').count(),
            what: NUL,
        }),
    }
}

struct Reader<'t> {
    parser: Parser<std::str::Chars<'t>>,
    repeated: Vec<(usize, String)>,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Node, Problem> {
        loop {
            match self.next()? {
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
        let first = self.next()?;
        let root = self.node(first, 0)?;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart, mark) => return Err(at(mark, "a second document begins")),
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event, Marker), Problem> {
        let next = self.parser.next_token();
        next.map_err(|error: ScanError| at(*error.marker(), INVALID))
    }

    fn node(&mut self, (event, mark): (Event, Marker), depth: usize) -> Result<Node, Problem> {
        if depth > MAX_DEPTH {
            return Err(at(mark, TOO_DEEP));
        }
        let value = match event {
            // An unquoted secret that begins with & or ! would lose its first word. A tag such as !vault would have no effect.
            Event::Scalar(_, _, anchor, tag) if anchor != 0 || tag.is_some() => {
                return Err(at(mark, MARKED));
            }
            Event::MappingStart(anchor, tag) | Event::SequenceStart(anchor, tag)
                if anchor != 0 || tag.is_some() =>
            {
                return Err(at(mark, MARKED));
            }
            Event::Scalar(text, TScalarStyle::Plain, ..)
                if matches!(text.as_str(), "" | "~" | "null") =>
            {
                Value::Null
            }
            Event::Scalar(text, ..) => Value::Text(text),
            Event::MappingStart(..) => self.map(depth)?,
            Event::SequenceStart(..) => self.list(depth)?,
            Event::Alias(_) => return Err(at(mark, ALIAS)),
            _ => return Err(at(mark, INVALID)),
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
            let (value, _) = self.next()?;
            // The line of the key: the parser gives an empty value the line of the next token.
            let node = self.node((value, mark), depth + 1)?;
            match known.insert(key.clone()) {
                true => entries.push((key, node)),
                false => self.repeated.push((node.line, key)),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                first => items.push(self.node(first, depth + 1)?),
            }
        }
    }
}

fn at(mark: Marker, what: &'static str) -> Problem {
    Problem {
        line: mark.line(),
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_and_deep_nesting_are_rejected_with_their_line() {
        let laughs = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n";
        let deep = |depth: usize| "- ".repeat(depth) + "x\n";
        for (text, expected) in [
            (laughs, Err((2, "aliases (*) are not supported"))),
            (
                "b: &b {x: 1}\na:\n  <<: *b\n",
                Err((3, "aliases (*) are not supported")),
            ),
            (&deep(17), Err((1, "too many nested levels"))),
            (&deep(300_000), Err((1, "too many nested levels"))),
            (&deep(16), Ok(())),
            ("a: '*b'\nc: \"*d\"\ne: f*g\n", Ok(())),
            ("a: &b 1\n", Ok(())),
            ("a: [\n", Ok(())),
            ("", Ok(())),
        ] {
            let found = check(text).map_err(|problem| (problem.line, problem.what));
            let shown = &text[..text.len().min(40)];
            assert_eq!(found, expected, "{shown}");
        }
    }

    #[test]
    fn a_nul_character_is_rejected() {
        for (text, line) in [
            ("\0", 1),
            ("a: 1\nb: 2\0\nc: 3\n", 2),
            ("a: 1\n\0b: 2\n", 2),
        ] {
            let expected = Problem { line, what: NUL };
            assert_eq!(parse(text).unwrap_err(), expected, "{text:?}");
            assert_eq!(check(text), Err(expected), "{text:?}");
        }
    }

    #[test]
    fn values_have_the_line_of_their_key_or_item() {
        let document =
            parse("# a comment\na:\n  b: 'x'\n  c:\nd: [1, {e: 2}]\nf:\n  - g\n  -\n    h: i\n");
        let Value::Map(entries) = document.unwrap().root.value else {
            panic!("no mapping");
        };
        let lines: Vec<_> = entries
            .iter()
            .map(|(key, node)| (key.as_str(), node.line))
            .collect();
        assert_eq!(lines, [("a", 2), ("d", 5), ("f", 6)]);
        let Value::Map(inner) = &entries[0].1.value else {
            panic!("{entries:?}");
        };
        assert!(matches!(&inner[0].1.value, Value::Text(text) if text == "x"));
        assert!(matches!(inner[1].1.value, Value::Null));
        let Value::List(items) = &entries[2].1.value else {
            panic!("{entries:?}");
        };
        assert!(matches!(&items[0].value, Value::Text(text) if text == "g"));
        assert_eq!([items[0].line, items[1].line], [7, 9]);
    }

    #[test]
    fn an_empty_file_is_null() {
        for text in ["", "# only a comment\n", "---\n"] {
            let root = parse(text).unwrap().root;
            assert!(matches!(root.value, Value::Null), "{text}");
        }
    }

    #[test]
    fn repeated_keys_are_listed_and_the_first_value_is_used() {
        let document = parse("a: 1\nb: {c: 2, c: 3}\na: 4\n").unwrap();
        let repeated = [(2, "c".to_owned()), (3, "a".to_owned())];
        assert_eq!(document.repeated, repeated);
        let Value::Map(entries) = document.root.value else {
            panic!("no mapping");
        };
        assert_eq!(entries.len(), 2);
        assert!(matches!(&entries[0].1.value, Value::Text(text) if text == "1"));
    }

    #[test]
    fn unsupported_constructs_are_rejected_with_their_line() {
        let deep = "[".repeat(100);
        for (text, line) in [
            ("a: &x 1\nb: *x\n", 1),
            ("a: 1\nb: *x\n", 2),
            ("a: 1\nb: !vault secret\n", 2),
            ("a: 1\nb: !!str secret\n", 2),
            ("a: 1\nb: !vault 'secret'\n", 2),
            ("a: 1\nb: !x {c: 2}\n", 2),
            ("a: 1\nb: &x [2]\n", 2),
            ("a: 1\nb: &secret\n", 2),
            ("a: 1\nb: !secret\n", 2),
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
