//! The kernel's view of containers on this machine: their control groups, their processes, and the bridges to which
//! they are attached.

pub mod file;
pub mod interface;
pub mod namespace;
pub mod own;
pub mod process;
pub mod tree;
