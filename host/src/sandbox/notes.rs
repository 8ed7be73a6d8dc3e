//! The capability `mackerel:collector/notes`: notes of a guest about a target that it reads, for the operator.

use wasmtime::Result;

use super::guest::Guest;
use super::wire::mackerel::collector::notes::Host;
use crate::limits;
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

impl Host for Guest {
    async fn unmatched(&mut self, option: String, value: String, hint: String) -> Result<()> {
        if self.unmatched.len() < limits::NOTES {
            let [option, value, hint] = [option, value, hint].map(Foreign::from);
            self.unmatched.push(Unmatched { option, value, hint });
        }
        Ok(())
    }
}
