//! Commands for authors of collectors: one file or folder per subcommand.

pub mod componentize;
pub mod new;
pub mod test;
