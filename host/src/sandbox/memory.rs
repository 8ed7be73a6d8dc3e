//! What a sandbox may take of the machine's memory.
//!
//! All memories and tables of one sandbox are summed up: wasmtime's own `StoreLimits` count each by itself, and a component has
//! several. Passing a limit ends the call, so that the operator reads the limit and not what the guest made of it.

use bytesize::ByteSize;
use wasmtime::{ResourceLimiter, Result, bail};

use crate::limits;

/// Counts one sandbox's memory.
#[derive(Debug)]
pub struct Memory {
    limit: ByteSize,
    bytes: usize,
    table_elements: usize,
    /// Set when a limit was passed.
    pub exceeded: Option<Exceeded>,
}

/// Which limit was passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// Linear memory.
    Bytes(ByteSize),
    /// Tables.
    TableElements(usize),
}

impl Memory {
    /// Allows `limit` bytes of linear memory, and the tables that `limits` has.
    pub fn new(limit: ByteSize) -> Memory {
        Memory { limit, bytes: 0, table_elements: 0, exceeded: None }
    }
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let bytes = self.bytes.saturating_add(desired.saturating_sub(current));
        if u64::try_from(bytes).is_ok_and(|bytes| bytes <= self.limit.as_u64()) {
            self.bytes = bytes;
            return Ok(true);
        }
        self.exceeded = Some(Exceeded::Bytes(self.limit));
        bail!("out of memory");
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> Result<bool> {
        let elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        if elements <= limits::SANDBOX_TABLE_ELEMENTS {
            self.table_elements = elements;
            return Ok(true);
        }
        self.exceeded = Some(Exceeded::TableElements(limits::SANDBOX_TABLE_ELEMENTS));
        bail!("out of table elements");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_summed_and_the_one_too_many_is_refused() {
        let mut memory = Memory::new(ByteSize::kib(100));
        assert!(memory.memory_growing(0, 60 * 1024, None).unwrap());
        assert!(memory.memory_growing(0, 40 * 1024, None).unwrap());
        assert_eq!(memory.exceeded, None);
        assert!(memory.memory_growing(40 * 1024, 41 * 1024, None).is_err());
        assert_eq!(memory.exceeded, Some(Exceeded::Bytes(ByteSize::kib(100))));
    }

    #[test]
    fn tables_are_summed_and_the_one_too_many_is_refused() {
        let mut memory = Memory::new(ByteSize::kib(100));
        assert!(memory.table_growing(0, limits::SANDBOX_TABLE_ELEMENTS, None).unwrap());
        assert!(memory.table_growing(0, 1, None).is_err());
        assert_eq!(memory.exceeded, Some(Exceeded::TableElements(limits::SANDBOX_TABLE_ELEMENTS)));
    }
}
