//! `install --all`: compiles all installed collectors for this version of the program.
//!
//! A run does that too, but has little time for it: one that takes longer would fail every minute.

use std::process::ExitCode;

use crate::diagnostics;
use crate::error::Error;
use crate::limits;
use crate::pipeline::protocol;
use crate::session::Session;
use crate::store::fault::InstalledError;
use crate::store::installed::Loaded;
use crate::text::{foreign, milliseconds};

/// Compiles all installed collectors whose compiled form is not of this program, and prints a line for each.
///
/// # Errors
/// If the folder of installed collectors or the policy of signatures cannot be used. A collector that fails, or has no
/// signature that the policy requires, is reported on stderr, and the exit status is 1.
pub fn upgrade(session: &Session) -> Result<ExitCode, Error> {
    let installed = session.store.installed();
    let policy = installed.policy()?;
    let names = installed.names()?;
    let each = limits::INSTALL_COMPILE_TIMEOUT + limits::STORE_LOCK;
    session.watchdog.set_deadline(each * u32::try_from(names.len()).unwrap_or(u32::MAX));
    if names.is_empty() {
        protocol::print("no collectors are installed\n")?;
    }
    let mut status = ExitCode::SUCCESS;
    for name in names {
        // A record that cannot be read is an error below.
        let pin = installed.pin(&name).ok().flatten();
        if let Some(error) = pin.and_then(|pin| policy.check(&pin).err()) {
            diagnostics::print(&format!("{}: {error}", foreign(&name)));
            status = ExitCode::FAILURE;
            continue;
        }
        match installed.load(&session.store.runtime, &name, limits::INSTALL_COMPILE_TIMEOUT) {
            Ok(Some(Loaded { not_kept: None, compiled_in, .. })) => {
                let what = match compiled_in {
                    Some(time) => format!("compiled in {}", milliseconds(time)),
                    None => "is compiled for this version already".to_owned(),
                };
                protocol::print(&format!("{} {what}\n", foreign(&name)))?;
            }
            // It was removed just now.
            Ok(None) => {}
            Ok(Some(Loaded { component, .. })) => {
                for warning in component.warnings {
                    diagnostics::print(&format!("{}: {warning}", component.name));
                }
                status = ExitCode::FAILURE;
            }
            Err(error) => {
                diagnostics::print(&match error {
                    InstalledError::Slow { name, timeout, .. } => {
                        format!("{name}: compilation exceeded {} (fixed limit)", humantime::format_duration(timeout))
                    }
                    error => error.to_string(),
                });
                status = ExitCode::FAILURE;
            }
        }
    }
    Ok(status)
}
