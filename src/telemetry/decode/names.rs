//! Decodes the names in an answer, within limits: of columns, device types and alerts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::input::Input;
use crate::telemetry::bounds::{
    LONGEST_NAME, MOST_ALERT_NAMES, MOST_COLUMNS, MOST_NAME_BYTES, MOST_TYPES, NAME_OVERHEAD,
};
use crate::telemetry::json::{JsonError, Kind};

/// Column names by device type code.
pub(super) type ColumnNames = BTreeMap<String, Vec<Option<String>>>;

/// Names by code.
type CodeNames = BTreeMap<String, String>;

/// The names of codes.
#[derive(Default)]
pub(super) struct Enums {
    pub(super) device_types: Option<CodeNames>,
    /// By device type code.
    pub(super) alerts: BTreeMap<String, CodeNames>,
}

/// Decodes all names of one answer, which share one limit.
pub(super) struct NameDecoder {
    /// The remaining bytes.
    room: usize,
    /// The number of names that are left out.
    pub(super) left_out: usize,
}

impl NameDecoder {
    pub(super) fn new() -> Self {
        Self {
            room: MOST_NAME_BYTES,
            left_out: 0,
        }
    }

    /// Decodes `data.columnNamesByDeviceType`. A type whose value is not a list is absent.
    pub(super) fn columns(&mut self, input: &mut Input<'_>) -> Result<ColumnNames, JsonError> {
        let mut columns = ColumnNames::new();
        if input.is(Kind::Null)? {
            input.reader.null()?;
            return Ok(columns);
        }
        input.members(|input, code| {
            if input.is(Kind::Array)? && self.admits(&columns, code, MOST_TYPES) {
                columns.insert(code.to_owned(), self.list(input)?);
            }
            Ok::<_, JsonError>(())
        })?;
        Ok(columns)
    }

    /// A list of strings; `None` for elements that are not strings of valid text.
    fn list(&mut self, input: &mut Input<'_>) -> Result<Vec<Option<String>>, JsonError> {
        let mut names = Vec::new();
        input.reader.begin_array()?;
        let mut more = input.reader.first_element();
        while more {
            if names.len() < MOST_COLUMNS {
                let name = input.string()?;
                names.push(name.and_then(|name| self.keep(name)));
            } else {
                input.reader.skip()?;
                self.left_out += 1;
            }
            more = input.reader.another_element()?;
        }
        Ok(names)
    }

    /// Decodes `metadata`. Invalid parts are ignored, because an answer is useful without names of codes.
    pub(super) fn enums(&mut self, input: &mut Input<'_>) -> Result<Enums, JsonError> {
        let mut enums = Enums::default();
        if !input.is(Kind::Object)? {
            input.reader.skip()?;
            return Ok(enums);
        }
        input.members(|input, key| {
            if key == "enums" && input.is(Kind::Object)? {
                input.members(|input, key| self.one_enum(input, key, &mut enums))?;
            }
            Ok::<_, JsonError>(())
        })?;
        Ok(enums)
    }

    fn one_enum(
        &mut self,
        input: &mut Input<'_>,
        key: &str,
        enums: &mut Enums,
    ) -> Result<(), JsonError> {
        match key {
            "DeviceType" => enums.device_types = self.code_names(input, MOST_TYPES)?,
            "AlertsByDeviceType" if input.is(Kind::Object)? => {
                input.members(|input, code| {
                    if self.admits(&enums.alerts, code, MOST_TYPES) {
                        let names = self.code_names(input, MOST_ALERT_NAMES)?;
                        let names = names.map(|names| (code.to_owned(), names));
                        enums.alerts.extend(names);
                    }
                    Ok::<_, JsonError>(())
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    /// An object of at most `most` strings; other values are ignored. `None` if it is not an object.
    fn code_names(
        &mut self,
        input: &mut Input<'_>,
        most: usize,
    ) -> Result<Option<CodeNames>, JsonError> {
        if !input.is(Kind::Object)? {
            return Ok(None);
        }
        let mut names = CodeNames::new();
        input.members(|input, code| {
            if self.admits(&names, code, most)
                && let Some(name) = input.string()?
                && let Some(name) = self.keep(name)
            {
                names.insert(code.to_owned(), name);
            }
            Ok::<_, JsonError>(())
        })?;
        Ok(Some(names))
    }

    /// Whether a code fits the limits. Uses room if it does; counts it if not. A repeated code is admitted, and its last value is used.
    fn admits<V>(&mut self, known: &BTreeMap<String, V>, code: &str, most: usize) -> bool {
        let cost = code.len() + NAME_OVERHEAD;
        let fits = code.len() <= LONGEST_NAME
            && cost <= self.room
            && (known.len() < most || known.contains_key(code));
        if fits {
            self.room -= cost;
        } else {
            self.left_out += 1;
        }
        fits
    }

    /// The name, if it fits the limits; counts it if not.
    fn keep(&mut self, name: Cow<'_, str>) -> Option<String> {
        let cost = name.len() + NAME_OVERHEAD;
        if name.len() > LONGEST_NAME || cost > self.room {
            self.left_out += 1;
            return None;
        }
        self.room -= cost;
        Some(name.into_owned())
    }
}
