//! The tables of all device types. Each has a unique name.

use std::sync::Arc;

use super::table::Table;
use crate::telemetry::schema::TERMINAL_CODE;

/// The tables, in the order in which their types were first seen. The index of a table never changes.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) tables: Vec<Table>,
}

impl Tables {
    /// The index of the table of a type code. A fleet has a handful of types, found faster in a list than in a map.
    pub(super) fn find(&self, code: &str) -> Option<usize> {
        self.tables.iter().position(|table| *table.code == *code)
    }

    /// Adds a table, whose name is its code until a row of its type is accepted. Returns its index.
    pub(super) fn add(&mut self, code: &str) -> usize {
        let name = self.free_name(code, code);
        self.tables.push(Table::new(code.into(), name));
        self.tables.len() - 1
    }

    /// Gives a table the name that its type has in an answer, or in a state file. Returns whether the name is new.
    ///
    /// Only the functions here set names, so that they are unique. The types of one answer have different names; if
    /// another table has this name from an earlier answer with another enum, its code is appended to its name.
    pub(super) fn rename(&mut self, table: usize, name: &Arc<str>) -> bool {
        if self.tables[table].name == *name {
            return false;
        }
        let earlier = self.tables.iter().position(|known| known.name == *name);
        if let Some(earlier) = earlier {
            let code = Arc::clone(&self.tables[earlier].code);
            self.tables[earlier].name = self.free_name(name, &code);
        }
        self.tables[table].name = Arc::clone(name);
        true
    }

    /// Gives the table of terminals the name that the enum of an answer gives their type, unless another table has it, or a row of a terminal
    /// was accepted: rows bring the name with them. Returns whether the name is new.
    pub(super) fn name_unheard_terminals(&mut self, name: &Arc<str>) -> bool {
        let Some(table) = self.find(TERMINAL_CODE) else {
            return false;
        };
        if self.tables.iter().any(|known| known.name == *name) {
            return false;
        }
        let mut blocks = self.tables[table].blocks().iter();
        let is_heard = blocks.any(|block| (0..block.len()).any(|slot| block.has_streamed(slot)));
        if !is_heard {
            self.tables[table].name = Arc::clone(name);
        }
        !is_heard
    }

    /// Gives a table a name that no answer has given it, unless another table has it.
    pub(super) fn rename_if_free(&mut self, table: usize, name: &str) {
        if self.tables.iter().all(|known| *known.name != *name) {
            self.tables[table].name = name.into();
        }
    }

    /// The name, with `_` and the code appended until no table has it.
    fn free_name(&self, name: &str, code: &str) -> Arc<str> {
        let mut free = name.to_owned();
        while self.tables.iter().any(|known| *known.name == *free) {
            free = format!("{free}_{code}");
        }
        free.into()
    }

    /// Applies what the columns of a batch determine: the order of the info lanes of all tables, and the names of the tables `named`. Returns
    /// whether an order or a name is new.
    pub(super) fn apply_orders_and_names(&mut self, named: &[usize]) -> bool {
        let mut changed = false;
        for table in &mut self.tables {
            changed |= table.apply_column_order();
        }
        for &table in named {
            if let Some(name) = self.tables[table].adopted_name().map(Arc::clone) {
                changed |= self.rename(table, &name);
            }
        }
        changed
    }

    /// The number of claimed slots.
    pub(super) fn devices(&self) -> usize {
        self.tables
            .iter()
            .map(|table| table.slots().devices())
            .sum()
    }

    /// The memory of numbers, references to texts and alerts, and entries of allocations in bytes, without the texts themselves.
    pub(super) fn value_bytes(&self) -> usize {
        self.tables.iter().map(Table::value_bytes).sum()
    }

    pub(super) fn get(&self, table: usize) -> &Table {
        &self.tables[table]
    }

    pub(super) fn get_mut(&mut self, table: usize) -> &mut Table {
        &mut self.tables[table]
    }
}
