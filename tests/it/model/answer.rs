//! A generated answer of the stream, and its JSON.

use std::collections::BTreeMap;

use serde_json::Value;

/// A JSON value, including what `serde_json::Value` cannot represent: the spelling of numbers, `1e999`, lone surrogates.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    /// A number as it is spelled.
    Number(String),
    Text(String),
    /// A string literal with a lone surrogate, as it is spelled.
    Broken(&'static str),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Variants of the JSON of an answer that do not change its meaning.
#[derive(Debug, Clone, Copy, Default)]
pub struct Style {
    /// Whether every character of a string is written as `\uXXXX`.
    pub escaped: bool,
    /// Whether there is white space wherever JSON allows it.
    pub spaced: bool,
    /// Whether the rows are the last member instead of the first.
    pub rows_last: bool,
    /// Whether there are unknown members.
    pub unknown: bool,
}

/// The column names of each type; `None` for a name that is not a string.
pub type Columns = BTreeMap<String, Vec<Option<String>>>;

/// Names by code.
pub type Names = BTreeMap<String, String>;

/// One answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub rows: Vec<Json>,
    pub columns: Columns,
    pub device_types: Option<Names>,
    pub alerts: BTreeMap<String, Names>,
    pub style: Style,
}

impl From<&Value> for Json {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.to_string()),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            Value::Object(members) => {
                let members = members.iter();
                Self::Object(
                    members
                        .map(|(key, value)| (key.clone(), value.into()))
                        .collect(),
                )
            }
        }
    }
}

impl Json {
    pub fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// The value as `serde_json` parses it; `None` if it cannot represent it.
    fn value(&self) -> Option<Value> {
        Some(match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(spelled) => serde_json::from_str(spelled).ok()?,
            Self::Text(text) => Value::String(text.clone()),
            Self::Broken(_) => return None,
            Self::List(items) => {
                Value::Array(items.iter().map(Self::value).collect::<Option<_>>()?)
            }
            Self::Object(members) => {
                let value = |(key, value): &(String, Self)| Some((key.clone(), value.value()?));
                Value::Object(members.iter().map(value).collect::<Option<_>>()?)
            }
        })
    }

    fn write(&self, out: &mut String, style: Style) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(spelled) => out.push_str(spelled),
            Self::Text(text) => write_text(text, out, style),
            Self::Broken(literal) => out.push_str(literal),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    separate(index, out, style);
                    item.write(out, style);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    separate(index, out, style);
                    let escaped = style.escaped && !ENVELOPE.contains(&&**key);
                    write_text(key, out, Style { escaped, ..style });
                    out.push_str(if style.spaced { " :\r\n" } else { ":" });
                    value.write(out, style);
                }
                out.push('}');
            }
        }
    }
}

/// The members whose names the API's encoder writes. They are never escaped.
const ENVELOPE: [&str; 7] = [
    "data",
    "values",
    "columnNamesByDeviceType",
    "metadata",
    "enums",
    "DeviceType",
    "AlertsByDeviceType",
];

fn separate(index: usize, out: &mut String, style: Style) {
    if index > 0 {
        out.push(',');
    }
    if style.spaced {
        out.push_str("\t ");
    }
}

fn write_text(text: &str, out: &mut String, style: Style) {
    out.push('"');
    for char in text.chars() {
        if style.escaped || char < ' ' {
            let mut units = [0; 2];
            for unit in char.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            if matches!(char, '"' | '\\') {
                out.push('\\');
            }
            out.push(char);
        }
    }
    out.push('"');
}

impl Answer {
    /// Reads an answer that serde can hold.
    pub fn parse(body: &str) -> Self {
        let value: Value = serde_json::from_str(body).unwrap();
        let rows = value["data"]["values"].as_array().unwrap();
        let columns = value["data"]["columnNamesByDeviceType"]
            .as_object()
            .unwrap();
        let columns = columns.iter().map(|(code, names)| {
            let names = names.as_array().unwrap().iter();
            (
                code.clone(),
                names.map(|name| name.as_str().map(str::to_owned)).collect(),
            )
        });
        let enums = &value["metadata"]["enums"];
        let names = |names: &Value| serde_json::from_value::<Names>(names.clone()).unwrap();
        let alerts = enums["AlertsByDeviceType"]
            .as_object()
            .into_iter()
            .flatten();
        Self {
            rows: rows.iter().map(Json::from).collect(),
            columns: columns.collect(),
            device_types: enums.get("DeviceType").map(names),
            alerts: alerts
                .map(|(code, enumeration)| (code.clone(), names(enumeration)))
                .collect(),
            style: Style::default(),
        }
    }

    /// The body of the answer.
    pub fn body(&self) -> String {
        let whole = self.whole();
        let mut body = String::new();
        whole.write(&mut body, self.style);
        if let Some(value) = whole.value() {
            assert_eq!(
                serde_json::from_str::<Value>(&body).unwrap(),
                value,
                "the generator is wrong"
            );
        }
        body
    }

    fn whole(&self) -> Json {
        let columns = self.columns.iter().map(|(code, names)| {
            let name =
                |name: &Option<String>| name.clone().map_or(Json::Number("5".into()), Json::Text);
            (code.clone(), Json::List(names.iter().map(name).collect()))
        });
        let mut data = vec![
            ("values".to_owned(), Json::List(self.rows.clone())),
            (
                "columnNamesByDeviceType".to_owned(),
                Json::Object(columns.collect()),
            ),
        ];
        let mut enums = Vec::new();
        if let Some(types) = &self.device_types {
            enums.push(("DeviceType".to_owned(), object(types)));
        }
        if !self.alerts.is_empty() {
            let alerts = self.alerts.iter();
            let alerts = alerts
                .map(|(code, names)| (code.clone(), object(names)))
                .collect();
            enums.push(("AlertsByDeviceType".to_owned(), Json::Object(alerts)));
        }
        if self.style.rows_last {
            data.reverse();
        }
        if self.style.unknown {
            data.insert(0, ("aggregateValues".to_owned(), Json::Null));
            data.push((
                "news".to_owned(),
                Json::List(vec![Json::Object(vec![(
                    "values".to_owned(),
                    Json::Bool(true),
                )])]),
            ));
            enums.push((
                "Weather".to_owned(),
                Json::Object(vec![("u".to_owned(), Json::text("rain"))]),
            ));
        }
        let mut members = vec![("data".to_owned(), Json::Object(data))];
        if !enums.is_empty() {
            let enums = vec![("enums".to_owned(), Json::Object(enums))];
            members.push(("metadata".to_owned(), Json::Object(enums)));
        }
        if self.style.rows_last {
            members.reverse();
        }
        Json::Object(members)
    }
}

fn object(names: &Names) -> Json {
    let names = names.iter();
    Json::Object(
        names
            .map(|(code, name)| (code.clone(), Json::text(name)))
            .collect(),
    )
}
