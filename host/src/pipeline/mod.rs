//! One run, in order. Nothing here knows the command line.
//!
//! [`source`] → [`find`] ([`target`], [`route`], [`task`], [`shared_network`], [`unmatched`]) → [`collect`] (one
//! sandbox per target, concurrently; [`witness`]) → [`series`] → [`ledger`] ([`name`], [`slot`], [`rate`], [`state`]) →
//! [`budget`] → [`output`] ([`select`], [`total`]) → [`protocol`]

pub mod budget;
pub mod collect;
pub mod find;
pub mod identity;
pub mod infrastructure;
pub mod label;
pub mod labelled;
pub mod ledger;
pub mod name;
pub mod option_check;
pub mod output;
pub mod process;
pub mod protocol;
pub mod rate;
pub mod route;
pub mod select;
pub mod series;
pub mod shared_network;
pub mod skip;
pub mod skip_reason;
pub mod slot;
pub mod source;
pub mod state;
pub mod state_folder;
pub mod target;
pub mod task;
pub mod total;
pub mod unmatched;
pub mod window;
pub mod witness;
