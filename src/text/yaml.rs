//! What no YAML file of ours may contain: aliases, with which a few bytes become gigabytes, and nesting that overflows a stack.

use yaml_rust2::parser::{Event, Parser};

/// How deep collections may be nested. Three levels are needed.
const DEEPEST: usize = 16;

/// What is wrong, and on which line, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// The line.
    pub line: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Reads a text event by event, without building anything of it. A text that is not YAML passes: whoever reads it says so.
///
/// # Errors
/// The first alias, or the first collection that is nested too deeply.
pub fn check(text: &str) -> Result<(), Problem> {
    let mut parser = Parser::new_from_str(text);
    let mut depth = 0_usize;
    loop {
        let Ok((event, mark)) = parser.next_token() else {
            return Ok(());
        };
        let line = mark.line();
        match event {
            Event::StreamEnd => return Ok(()),
            Event::Alias(_) => {
                let what = "aliases (*) are not supported";
                return Err(Problem { line, what });
            }
            Event::MappingStart(..) | Event::SequenceStart(..) if depth >= DEEPEST => {
                let what = "too many nested levels";
                return Err(Problem { line, what });
            }
            Event::MappingStart(..) | Event::SequenceStart(..) => depth += 1,
            Event::MappingEnd | Event::SequenceEnd => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aliases_and_deep_nesting_are_refused_with_their_line() {
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
}
