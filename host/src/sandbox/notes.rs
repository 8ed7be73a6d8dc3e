//! Notes of a guest about a target that it reads, for the operator.

use crate::text::Foreign;

/// The value of an option that selects nothing at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmatched {
    /// The option's name, without dashes.
    pub option: Foreign,
    /// The value.
    pub value: Foreign,
    /// The values that would select something, in a few words.
    pub hint: Foreign,
}
