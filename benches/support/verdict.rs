//! The table of results: figure, reference, value, target, and whether the target is met.

/// The target of a figure.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// The value should not be greater.
    AtMost(f64),
    /// The value should not be less.
    AtLeast(f64),
    /// There is no target: the value is only reported.
    None,
}

/// The lines so far.
#[derive(Debug, Default)]
pub struct Verdict {
    lines: Vec<[String; 5]>,
}

impl Verdict {
    /// Adds a line. `of` names what was measured, `yardstick` the reference that was measured with it.
    pub fn judge(&mut self, of: &str, yardstick: &str, value: f64, unit: &str, target: Target) {
        let (limit, is_met) = match target {
            Target::AtMost(limit) => (format!("≤ {}", number(limit)), Some(value <= limit)),
            Target::AtLeast(limit) => (format!("≥ {}", number(limit)), Some(value >= limit)),
            Target::None => ("–".to_owned(), None),
        };
        let met = is_met.map_or("–", |is_met| if is_met { "met" } else { "NOT MET" });
        self.lines.push([
            of.to_owned(),
            yardstick.to_owned(),
            format!("{}{unit}", number(value)),
            limit,
            met.to_owned(),
        ]);
    }

    /// Prints the lines as a Markdown table, and the load of the machine.
    pub fn print(&self) {
        let head = ["figure", "yardstick", "value or ratio", "target", "met"].map(str::to_owned);
        let mut widths = [0; 5];
        for line in std::iter::once(&head).chain(&self.lines) {
            for (width, cell) in widths.iter_mut().zip(line) {
                *width = cell.chars().count().max(*width);
            }
        }
        let rule = widths.map(|width| "-".repeat(width));
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        println!("\n{cores} cores, load average {}\n", load.trim_end());
        for line in [&head, &rule].into_iter().chain(&self.lines) {
            for (cell, &width) in line.iter().zip(&widths) {
                print!("| {cell:width$} ");
            }
            println!("|");
        }
    }
}

/// Formats a number with three significant digits, or with all digits before the decimal point.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        f64::INFINITY => "∞".to_owned(),
        ..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
