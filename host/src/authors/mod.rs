//! Commands for authors of collectors.

pub mod componentize;
pub mod new;
pub mod test;
