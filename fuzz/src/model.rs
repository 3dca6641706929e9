//! The independent reader of the integration tests, and what it is written with.

#[path = "../../tests/it/model/answer.rs"]
mod answer;
#[path = "../../tests/it/model/oracle.rs"]
mod oracle;
#[path = "../../tests/it/model/reader.rs"]
pub mod reader;
