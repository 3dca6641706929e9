//! Plans the effect of an allocation row on its terminal.

use std::sync::Arc;

use super::super::allocation::{ADDRESS_BYTES, Allocation, AllocationContent, INFO_BYTES};
use super::{Candidate, PlanKind, PlannedAllocation, Planner, intern_bounded};
use crate::telemetry::readings::{RawAddresses, RawInfo};
use crate::telemetry::schema::Field;
use crate::telemetry::{AddressKind, CellFault, Reading};

impl Planner<'_> {
    /// Plans the new allocation of each terminal.
    pub(super) fn allocations(&mut self, candidates: &[Candidate<'_>]) {
        self.plan.allocations.reserve_exact(candidates.len());
        let mut content = AllocationContent::default();
        for candidate in candidates {
            content.addresses.iter_mut().for_each(Vec::clear);
            content.infos.clear();
            self.read_allocation(candidate, &mut content);
            let (block, slot) = self.tables.get(candidate.table).block(candidate.slot);
            let content = match block.allocation(slot) {
                Some(known) if *known.content == content => Arc::clone(&known.content),
                _ => Arc::new(content.clone()),
            };
            self.plan.allocations.push(PlannedAllocation {
                table: candidate.table,
                slot: candidate.slot,
                allocation: Arc::new(Allocation {
                    reported: match self.plan.kind {
                        PlanKind::Stream => candidate.reported,
                        PlanKind::LastKnown => 0,
                    },
                    seen: self.now,
                    content,
                }),
            });
        }
    }

    /// The memory limit of the entries of a terminal's new allocation. If memory for values is short, it is the memory of the current ones.
    fn most_bytes(&self, candidate: &Candidate<'_>) -> usize {
        if !self.is_tight {
            return usize::MAX;
        }
        let (block, slot) = self.tables.get(candidate.table).block(candidate.slot);
        let known = block.allocation(slot);
        known.map_or(0, |known| known.content.bytes())
    }

    /// Reads the cells of a row to `content`, and counts those that are left out.
    fn read_allocation(&mut self, candidate: &Candidate<'_>, content: &mut AllocationContent) {
        let most = self.most_bytes(candidate);
        let churn = self.tables.get_mut(candidate.table).allocation_churn();
        churn.note_row();
        for (_, reading) in candidate.row.readings() {
            match reading {
                Reading::Addresses(kind, addresses) => {
                    self.addresses(kind, addresses, content, most);
                }
                Reading::Info(field, raw) => {
                    let info = self.info(candidate, field, raw, content, most);
                    self.plan.tally.cells.count_error(info);
                }
                Reading::Fault(fault) => self.plan.tally.cells.count(fault),
                // The columns of an allocation have no such readings.
                Reading::Number(..)
                | Reading::Text(..)
                | Reading::Location(..)
                | Reading::Alerts(_) => {}
            }
        }
    }

    /// Adds the text of a column, if it has one.
    ///
    /// # Errors
    /// The cell cannot be read, or a limit is exceeded.
    fn info(
        &mut self,
        candidate: &Candidate<'_>,
        field: &Field,
        raw: RawInfo<'_>,
        content: &mut AllocationContent,
        most: usize,
    ) -> Result<(), CellFault> {
        let (Some(text), Some(key)) = (raw.text()?, &field.info) else {
            return Ok(());
        };
        if content.bytes().saturating_add(INFO_BYTES) > most {
            return Err(CellFault::Limit);
        }
        let text = intern_bounded(self.texts, &text, self.options.limits.text)?;
        let table = self.tables.get_mut(candidate.table);
        let (block, slot) = table.block(candidate.slot);
        let known = block
            .allocation(slot)
            .and_then(|known| known.content.info(key));
        if let Some(changed) = known.map(|known| *known != text) {
            table.allocation_churn().note_text(&field.name, changed);
        }
        content.infos.push((Arc::clone(key), text));
        Ok(())
    }

    /// Adds the valid addresses of a column.
    fn addresses(
        &mut self,
        kind: AddressKind,
        addresses: RawAddresses<'_>,
        content: &mut AllocationContent,
        most: usize,
    ) {
        let room = most.saturating_sub(content.bytes()) / ADDRESS_BYTES;
        let most = self.options.limits.addresses.min(room);
        addresses.each(|address| {
            let added = address.and_then(|address| match content.add(kind, address, most) {
                true => Ok(()),
                false => Err(CellFault::Limit),
            });
            self.plan.tally.cells.count_error(added);
        });
    }
}
