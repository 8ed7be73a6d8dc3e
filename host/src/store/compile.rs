//! Compilation of components, in a process of its own: time and memory depend on the file, and the compiler bounds
//! neither. The process is this program with a hidden command. It reads the component from its stdin, writes the code
//! to its stdout, and runs nothing of the component.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};
use wasmtime::Engine;

use crate::contract;
use crate::limits;
use crate::sandbox::Collector;
use crate::sandbox::code::{Code, OwnCode};
use crate::sandbox::runtime::Runtime;
use crate::text::{Foreign, foreign};

/// The hidden command, which only this module calls.
pub const COMMAND: &str = "compile-from-stdin";

/// The exit status of the process for a component that is invalid; the reason is on stderr.
const INVALID: u8 = 3;

/// The time between two looks at the process.
const INTERVAL: Duration = Duration::from_millis(2);

/// A component that cannot be compiled. The text follows the file's name.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// It is not a collector.
    #[error(transparent)]
    Contract(#[from] contract::Error),
    /// It takes too long.
    #[error("compilation exceeded {} (fixed limit)", humantime::format_duration(*.0))]
    Timeout(Duration),
    /// It takes too much memory.
    #[error("compilation exceeded {:.0} of memory (fixed limit)", limits::COMPILE_MEMORY.display().iec())]
    Memory,
    /// The compiler ended in another way.
    #[error("the compiler failed: {status}{}{text}", if text.is_empty() { "" } else { ": " })]
    Failed {
        /// Its exit status.
        status: ExitStatus,
        /// The end of its stderr.
        text: Foreign,
    },
    /// There is no process for it.
    #[error("cannot start a process to compile it: {0}")]
    Process(#[from] io::Error),
}

/// Compiles a component within `timeout`.
///
/// # Errors
/// If it is not a collector, or takes too long or too much memory.
pub fn compile(runtime: &Arc<Runtime>, bytes: &[u8], timeout: Duration) -> Result<Collector, CompileError> {
    contract::check(bytes)?;
    let code = code_of(bytes, timeout)?;
    Ok(Collector::compiled(runtime, Code::Own(code))?)
}

fn code_of(bytes: &[u8], timeout: Duration) -> Result<OwnCode, CompileError> {
    let [mut component, code, mut stderr] = [memory_file()?, memory_file()?, memory_file()?];
    component.write_all(bytes)?;
    component.rewind()?;
    let threads = thread::available_parallelism().map_or(1, usize::from).min(limits::COMPILE_THREADS);
    let mut process = Command::new("/proc/self/exe")
        .arg(COMMAND)
        .env_clear()
        .env("RAYON_NUM_THREADS", threads.to_string())
        // The allocators reserve more addresses than the limit allows: glibc's 64 MiB for each arena, and mimalloc a
        // first GiB, here 64 MiB.
        .env("MALLOC_ARENA_MAX", "1")
        .env("MIMALLOC_ARENA_RESERVE", "65536")
        .stdin(component)
        .stdout(code.try_clone()?)
        .stderr(stderr.try_clone()?)
        .spawn()?;
    let Some(status) = wait(&mut process, timeout)? else { return Err(CompileError::Timeout(timeout)) };
    if status.success() {
        return Ok(OwnCode::compiled(code));
    }
    let mut text = Vec::new();
    stderr.rewind()?;
    (&mut stderr).take(limits::GUEST_STDERR as u64).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    if status.code() == Some(INVALID.into()) {
        return Err(contract::Error::Invalid(foreign(&text)).into());
    }
    // The words with which Rust ends a process without memory, and the system refuses a thread.
    let is_memory = ["memory allocation of", "Cannot allocate memory", "Resource temporarily unavailable"];
    if is_memory.into_iter().any(|words| text.contains(words)) {
        return Err(CompileError::Memory);
    }
    Err(CompileError::Failed { status, text: Foreign::ends(&text) })
}

/// Waits for the end of a process; `None` if it is killed after `timeout`.
fn wait(process: &mut Child, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    let begin = Instant::now();
    loop {
        if let Some(status) = process.try_wait()? {
            return Ok(Some(status));
        }
        if begin.elapsed() > timeout {
            process.kill()?;
            process.wait()?;
            return Ok(None);
        }
        thread::sleep(INTERVAL);
    }
}

/// Makes a file in memory, which no other process can open by a name.
fn memory_file() -> io::Result<File> {
    Ok(File::from(memfd_create("component", MemfdFlags::CLOEXEC)?))
}

/// Compiles the component on stdin to stdout, within its limits. This is all that the process does.
pub fn compile_from_stdin(engine: &Engine) -> ExitCode {
    let work = || -> Result<(), (u8, String)> {
        let failed = |error: io::Error| (1, error.to_string());
        bound().map_err(failed)?;
        let mut component = Vec::new();
        io::stdin().read_to_end(&mut component).map_err(failed)?;
        let code = engine.precompile_component(&component).map_err(|error| (INVALID, format!("{error:#}")))?;
        io::stdout().write_all(&code).map_err(failed)
    };
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, text)) => {
            let _ = io::stderr().write_all(text.as_bytes());
            ExitCode::from(status)
        }
    }
}

/// Bounds the process, and ends it with the one that waits for it.
fn bound() -> io::Result<()> {
    let limit = |resource, limit: ByteSize| {
        let limit = Some(limit.as_u64());
        setrlimit(resource, Rlimit { current: limit, maximum: limit })
    };
    limit(Resource::As, limits::COMPILE_MEMORY)?;
    limit(Resource::Fsize, limits::COMPILED_SIZE)?;
    limit(Resource::Core, ByteSize::b(0))?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}
