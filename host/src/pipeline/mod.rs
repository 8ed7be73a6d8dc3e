//! One run, in order.

pub mod collect;
pub mod name;
pub mod output;
pub mod protocol;
pub mod rate;
pub mod select;
pub mod slot;
pub mod state;
pub mod target;
pub mod total;
