//! Benchmarks of batches, scrapes and pages, each with a reference in the same run: `cargo bench`, or `cargo bench -- FILTER`.

#[path = "../support/bombs.rs"]
mod bombs;
#[path = "../support/feed.rs"]
mod feed;
#[path = "../support/inventory.rs"]
mod inventory;
#[path = "../support/verdict.rs"]
mod verdict;
#[path = "../support/wire.rs"]
mod wire;

mod crate_api;
mod decode;
mod history;
mod hostile;
mod journal;
mod listed;
mod pages;
mod peers;
mod ready;
mod render;
mod runs;
mod scrape;
mod visitor;

use std::error::Error;

use self::runs::Runs;

fn main() -> Result<(), Box<dyn Error>> {
    let mut runs = Runs::from_command_line();
    if runs.wants("decode") {
        decode::run(&mut runs)?;
    }
    if runs.wants("bombs") {
        hostile::run(&mut runs);
    }
    if runs.wants("render") {
        render::run(&mut runs)?;
    }
    if runs.wants("scrape") || runs.wants("shards") {
        scrape::run(&mut runs)?;
    }
    if runs.wants("history") {
        history::run(&mut runs)?;
    }
    if runs.wants("journal") {
        journal::run(&mut runs)?;
    }
    if runs.wants("pages") {
        pages::run(&mut runs)?;
    }
    runs.finish();
    Ok(())
}
