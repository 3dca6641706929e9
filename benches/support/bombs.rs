//! Answers that are as expensive to decode as possible, in time or memory.

/// The construction of an expensive answer: a prefix, many pieces, and a suffix.
pub struct Bomb {
    /// A description of the pieces.
    pub name: &'static str,
    /// The text before the pieces.
    head: &'static str,
    /// A piece; `#` in it is replaced by its number.
    piece: &'static str,
    /// The text after the pieces.
    tail: &'static str,
    /// The text that closes a piece, repeated for each at the end.
    close: &'static str,
}

const fn bomb(
    name: &'static str,
    head: &'static str,
    piece: &'static str,
    tail: &'static str,
) -> Bomb {
    Bomb {
        name,
        head,
        piece,
        tail,
        close: "",
    }
}

const fn nested(
    name: &'static str,
    head: &'static str,
    piece: &'static str,
    close: &'static str,
    tail: &'static str,
) -> Bomb {
    Bomb {
        close,
        ..bomb(name, head, piece, tail)
    }
}

const ROWS: &str = r#"{"data":{"values":["#;
const END: &str = "0]}}";
const END_TERMINALS: &str = r#"0],"columnNamesByDeviceType":{"u":["DeviceType","UtcTimestampNs","DeviceId","N","M","T"]}}}"#;
const ROW: &str = r#"{"data":{"values":[["#;
const END_ROW: &str = "0]]}}";
const LIST: &str = r#"{"data":{"values":[[["#;
const END_LIST: &str = "0]]]}}";
const TEXT: &str = r#"{"data":{"values":[[""#;
const END_TEXT: &str = r#""]]}}"#;
const COLUMNS: &str = r#"{"data":{"values":[],"columnNamesByDeviceType":{"u":["#;
const TYPES: &str = r#"{"data":{"values":[],"columnNamesByDeviceType":{"#;
const ENUM: &str = r#"{"data":{"values":[]},"metadata":{"enums":{"DeviceType":{"#;
const ALERTS: &str = r#"{"data":{"values":[]},"metadata":{"enums":{"AlertsByDeviceType":{"u":{"#;

/// All expensive answers.
pub const BOMBS: &[Bomb] = &[
    bomb("empty rows", ROWS, "[],", END),
    bomb("rows of a cell", ROWS, "[0],", END),
    bomb("rows that are no lists", ROWS, "0,", END),
    bomb(
        "rows of a terminal",
        ROWS,
        r##"["u",1600000000000000000,"#",0,1.5,"#"],"##,
        END_TERMINALS,
    ),
    bomb("cells of one row", ROW, "0,", END_ROW),
    bomb("empty cells", ROW, r#""","#, END_ROW),
    bomb("cells that are lists", ROW, "[],", END_ROW),
    bomb(
        "rows of 16 cells",
        ROWS,
        "[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0],",
        END,
    ),
    bomb("elements of one list", LIST, "0,", END_LIST),
    bomb("elements that are texts", LIST, r#""a","#, END_LIST),
    bomb(
        "rows of lists",
        ROWS,
        "[[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]],",
        END,
    ),
    nested("deep lists", ROW, "[", "]", ",0]]}}"),
    nested("deep objects", ROW, r#"{"":"#, "}", ",0]]}}"),
    nested("deep members", r#"{"x":"#, r#"{"":"#, "}", "}"),
    bomb("short nests", ROWS, "[[[[[[[[[[]]]]]]]]]],", END),
    bomb("one text", TEXT, "abcdefgh", END_TEXT),
    bomb("one escaped text", TEXT, r"\n", END_TEXT),
    bomb("one text in UTF-16", TEXT, r"\u0041", END_TEXT),
    bomb("lone surrogates in one text", TEXT, r"\ud800", END_TEXT),
    bomb(
        "texts that are lone surrogates",
        ROW,
        r#""\ud800","#,
        END_ROW,
    ),
    bomb("invalid bytes", TEXT, "\u{1}", END_TEXT),
    bomb("a number without end", ROW, "1234567890", END_ROW),
    bomb(
        "a fraction without end",
        r#"{"data":{"values":[[0."#,
        "1234567890",
        END_ROW,
    ),
    bomb(
        "an exponent without end",
        r#"{"data":{"values":[[1e-"#,
        "1234567890",
        END_ROW,
    ),
    bomb(
        "numbers halfway between two",
        ROWS,
        "[2.4703282292062327208e-324,9007199254740993.00000000000000000001,0],",
        END,
    ),
    bomb("rows of numbers halfway", ROWS, HALFWAY, END),
    bomb("numbers of 800 digits", ROWS, NUMBERS_OF_800, END),
    bomb(
        "members",
        r#"{"data":{"values":[],"#,
        r##""#":0,"##,
        r#""x":0}}"#,
    ),
    bomb(
        "members that are rows",
        r#"{"data":{"values":[],"#,
        r#""values ":[[0]],"#,
        r#""x":0}}"#,
    ),
    bomb(
        "values again and again",
        r#"{"data":{"#,
        r#""values":[[0]],"#,
        r#""x":0}}"#,
    ),
    bomb(
        "data again and again",
        "{",
        r#""data":{"values":[[0]]},"#,
        r#""x":0}"#,
    ),
    bomb("columns", COLUMNS, r##""Column#","##, r#"""]}}}"#),
    bomb("long columns", COLUMNS, LONG_NAME, r#"""]}}}"#),
    bomb(
        "types",
        TYPES,
        r##""t#":["DeviceType","Column"],"##,
        r#""":[]}}}"#,
    ),
    bomb(
        "lists of one type",
        TYPES,
        r#""u":["DeviceType","Column"],"#,
        r#""":[]}}}"#,
    ),
    bomb("names of types", ENUM, r##""t#":"Name","##, r#""":""}}}}"#),
    bomb(
        "names of alerts",
        ALERTS,
        r##""#":"name","##,
        r#""":""}}}}}"#,
    ),
    bomb("white space", "", "        ", r#"{"data":{"values":[]}}"#),
];

const LONG_NAME: &str = concat!(
    "\"#",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "\","
);

/// Forty numbers halfway between zero and the smallest positive number, which are the slowest to round.
const HALFWAY: &str = concat!(
    "[2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,",
    "2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,",
    "2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,",
    "2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,",
    "2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,",
    "2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,",
    "2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,",
    "2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,",
    "2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,",
    "2.4703282292062327208e-324,2.4703282292062327208e-324,2.4703282292062327208e-324,0],"
);

const NUMBERS_OF_800: &str = concat!(
    "[1.7976931348623157081452742373170435679807056752584499659891747680315726078002853876058955863276687817154045895351438",
    "24642343213268894641827684675467035375169860499105765512820762454900903893289440758685084551339423045832369032229481",
    "65808559332123347747979049489999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",
    "99999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",
    "99999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",
    "99999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999",
    "99999999999999999999999999999999999999999999999999999999999999999999999999999999999999999e-290],"
);

impl Bomb {
    /// An answer of about `size` bytes.
    pub fn body(&self, size: usize) -> Vec<u8> {
        let mut body = String::with_capacity(size + 1024);
        body.push_str(self.head);
        let mut count = 0;
        while body.len() + count * self.close.len() + self.tail.len() < size {
            match self.piece.split_once('#') {
                Some((before, after)) => {
                    body.push_str(before);
                    body.push_str(&count.to_string());
                    body.push_str(after);
                }
                None => body.push_str(self.piece),
            }
            count += 1;
        }
        if !self.close.is_empty() {
            body.push('0');
            body.push_str(&self.close.repeat(count));
        }
        body.push_str(self.tail);
        let mut body = body.into_bytes();
        // Invalid UTF-8, which a `str` cannot contain.
        body.iter_mut()
            .filter(|byte| **byte == 1)
            .for_each(|byte| *byte = 0xff);
        body
    }
}
