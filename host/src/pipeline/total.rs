//! Totals: one value over all targets.

use clap::ValueEnum;

/// `--total`: a function of several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Total {
    /// The sum, in the order of printing.
    Sum,
    /// The sum divided by the number of values.
    Avg,
    /// The largest.
    Max,
    /// The smallest.
    Min,
}

impl Total {
    /// Returns its name on the command line, in keys and in labels.
    pub fn word(self) -> &'static str {
        match self {
            Total::Sum => "sum",
            Total::Avg => "avg",
            Total::Max => "max",
            Total::Min => "min",
        }
    }

    /// Returns true if totals of stacked metrics can be stacked: the maxima of two metrics can be those of two targets.
    pub fn is_stackable(self) -> bool {
        matches!(self, Total::Sum | Total::Avg)
    }

    /// Returns the total of at least one value; `None` if it overflows.
    pub fn of(self, values: &[f64]) -> Option<f64> {
        let total = match self {
            Total::Sum => values.iter().sum(),
            // A run has fewer targets than a float counts exactly.
            #[allow(clippy::cast_precision_loss)]
            Total::Avg => values.iter().sum::<f64>() / values.len() as f64,
            Total::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Total::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
        };
        total.is_finite().then_some(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_takes_all_values_in_their_order() {
        let values = [0.1, 0.2, 0.3, -1.0];
        let totals = [Total::Sum, Total::Avg, Total::Max, Total::Min].map(|total| total.of(&values));
        let sum = 0.1 + 0.2 + 0.3 - 1.0;
        assert_eq!(totals, [Some(sum), Some(sum / 4.0), Some(0.3), Some(-1.0)]);
    }

    #[test]
    fn a_total_that_overflows_is_left_out() {
        assert_eq!(Total::Sum.of(&[1e308, 1e308]), None);
        assert_eq!(Total::Max.of(&[1e308, 1e308]), Some(1e308));
    }
}
