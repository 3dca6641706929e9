//! Includes the independent parser of the integration tests.

#[path = "../../tests/it/model/answer.rs"]
mod answer;
#[path = "../../tests/it/model/oracle.rs"]
mod oracle;
#[path = "../../tests/it/model/reader.rs"]
pub mod reader;
