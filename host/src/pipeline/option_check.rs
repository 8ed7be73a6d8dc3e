//! The check of options that labels declare: they may not change the graphs, which are the operator's.
//!
//! The collector itself decides: `graphs` is called with the options, and has to return what it returned for the
//! operator's. Containers with equal options share one call.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{LocalBoxFuture, Shared};

use crate::definition::Definitions;
use crate::sandbox::failure::Cause;
use crate::sandbox::{Collector, OptionValue};
use crate::text::{Foreign, foreign};

type Check<'a> = Shared<LocalBoxFuture<'a, Option<Foreign>>>;

/// The checks of one run.
pub struct OptionCheck<'a> {
    collector: &'a Collector,
    definitions: &'a Definitions,
    /// By names and values.
    checks: RefCell<BTreeMap<Vec<(String, String)>, Check<'a>>>,
}

impl<'a> OptionCheck<'a> {
    /// Prepares to compare with the graphs for the operator's options.
    pub fn new(collector: &'a Collector, definitions: &'a Definitions) -> OptionCheck<'a> {
        OptionCheck { collector, definitions, checks: RefCell::default() }
    }

    /// Checks the options of one endpoint.
    ///
    /// # Errors
    /// If the collector rejects them, or declares other graphs.
    pub async fn check(&self, options: &Arc<[OptionValue]>) -> Result<(), Cause> {
        let key = options.iter().map(|option| (option.name.clone(), option.value.clone())).collect();
        let (collector, definitions, options) = (self.collector, self.definitions, Arc::clone(options));
        let fault = || async move { fault(collector, definitions, &options).await }.boxed_local().shared();
        let check = self.checks.borrow_mut().entry(key).or_insert_with(fault).clone();
        check.await.map_or(Ok(()), |fault| Err(Cause::Labels(fault)))
    }
}

async fn fault(collector: &Collector, definitions: &Definitions, options: &[OptionValue]) -> Option<Foreign> {
    match collector.graphs(options).await {
        Ok(Ok(graphs)) if graphs == definitions.graphs() => None,
        Ok(Ok(_)) => Some(Foreign::from("these options change the graphs, which only the operator can (--option)")),
        Ok(Err(reason)) => Some(reason),
        Err(failure) => Some(foreign(&failure.to_string())),
    }
}
