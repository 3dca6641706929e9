//! The reasons for which cells are left out, and their counts.

/// Why a cell, or an element of a list in a cell, was left out: the label of `cells_rejected_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellFault {
    /// An object, or a list that contains a list or an object.
    Shape,
    /// A number that exceeds `f64`.
    Number,
    /// A string that is not valid text, such as a lone surrogate.
    Text,
    /// An entry of an IP allocation that is neither an address nor a CIDR, or that belongs to the other IP version.
    Address,
    /// An alert code that is neither an integer nor a string.
    Alert,
    /// A value that is not the index of an H3 cell.
    Location,
    /// A limit is exceeded.
    Limit,
}

impl CellFault {
    /// Every fault, in the order of their metric.
    pub const ALL: [Self; 7] = [
        Self::Shape,
        Self::Number,
        Self::Text,
        Self::Address,
        Self::Alert,
        Self::Location,
        Self::Limit,
    ];

    /// The label value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Shape => "shape",
            Self::Number => "number",
            Self::Text => "text",
            Self::Address => "address",
            Self::Alert => "alert",
            Self::Location => "location",
            Self::Limit => "limit",
        }
    }
}

/// The numbers of cells and elements that were left out, by fault.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CellFaults([u64; CellFault::ALL.len()]);

impl CellFaults {
    /// Counts one fault.
    pub fn count(&mut self, fault: CellFault) {
        let count = &mut self.0[fault as usize];
        *count = count.saturating_add(1);
    }

    /// Counts the fault of a result, if it is one.
    pub fn count_error(&mut self, result: Result<(), CellFault>) {
        if let Err(fault) = result {
            self.count(fault);
        }
    }

    /// Adds the counts of other rows.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.0.iter_mut().zip(&other.0) {
            *sum = sum.saturating_add(*count);
        }
    }

    /// The number of one fault.
    #[must_use]
    pub fn of(&self, fault: CellFault) -> u64 {
        self.0[fault as usize]
    }

    /// The number of all faults.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The counts by fault, in the order of [`CellFault::ALL`].
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.0
    }
}
