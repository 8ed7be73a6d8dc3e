//! One run, in order. Nothing here knows the command line.
//!
//! [`find`] ([`target`], [`shared_network`], [`unmatched`]) → [`collect`] (one sandbox per target, concurrently) →
//! [`series`] → [`ledger`] ([`name`], [`slot`], [`rate`], [`state`]) → [`output`] ([`select`], [`total`]) →
//! [`protocol`]

pub mod collect;
pub mod find;
pub mod ledger;
pub mod name;
pub mod output;
pub mod protocol;
pub mod rate;
pub mod select;
pub mod series;
pub mod shared_network;
pub mod slot;
pub mod state;
pub mod target;
pub mod total;
pub mod unmatched;
