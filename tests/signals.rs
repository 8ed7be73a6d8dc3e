//! Signals and broken standard streams at any moment of a run.

use std::cell::Cell;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use scenarios::agent::{Agent, Output};
use scenarios::stub_target::StubTarget;
use scenarios::{load, stats};
use serde_json::Value;

/// The capacity of a pipe.
const PIPE: usize = 64 << 10;

/// A program that reports the number of each response as its goroutines. The counters of a response grow by its number,
/// so the growth between two responses identifies both.
struct Squares {
    stub_target: StubTarget,
    /// All responses so far, from number 1.
    answers: Arc<Mutex<Vec<Value>>>,
    /// The number of the response in the state.
    remembered: Cell<usize>,
}

fn answer(number: u64) -> Value {
    let mut body = stats::body(stats::now(), number * number);
    body["goroutine_num"] = number.into();
    body
}

impl Squares {
    /// Starts one whose responses take this long.
    fn after(delay: Duration) -> Self {
        let answers = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&answers);
        let stub_target = StubTarget::serving_with(move || {
            thread::sleep(delay);
            let mut all = all.lock().expect("no test panics in here");
            let answer = answer(all.len() as u64 + 1);
            all.push(answer.clone());
            answer
        });
        Self { stub_target, answers, remembered: Cell::new(0) }
    }

    /// Asserts that a run printed nothing of it, or the right values for a response after the one in the state, which
    /// it then becomes. Returns whether something was printed.
    #[track_caller]
    fn check(&self, output: &Output) -> bool {
        let printed = output.metrics().of(&self.stub_target.key());
        let Some(reported) = printed.get("runtime.goroutine_num") else {
            assert!(printed.is_empty(), "{output}");
            return false;
        };
        let before = self.remembered.get();
        let answers = self.answers.lock().expect("no test panics in here");
        let is_reported = |answer: &Value| (stats::gauges(answer)["runtime.goroutine_num"] - reported).abs() < 0.5;
        let found = answers.iter().skip(before).position(is_reported);
        let number = before + 1 + found.unwrap_or_else(|| panic!("no response after {before}: {output}"));
        let answer = &answers[number - 1];
        let right = if before == 0 { stats::gauges(answer) } else { stats::all(&answers[before - 1], answer) };
        stats::assert_same(&printed, &right);
        self.remembered.set(number);
        true
    }
}

/// Asserts that the state is intact: it is complete, no other file is beside it, and the next run uses it.
#[track_caller]
fn assert_undisturbed(agent: &Agent, command: &str, programs: &[Squares]) {
    let output = agent.run(command).exits(0).without_diagnostics();
    for program in programs {
        assert!(program.check(&output), "{output}");
    }
    let files: Vec<_> = fs::read_dir(agent.state_folder()).expect("a folder").flatten().collect();
    let [state] = &agent.state_files()[..] else { panic!("one state file, not {files:?}") };
    let _: Value = serde_json::from_slice(&fs::read(state).expect("our own file")).expect("a whole state");
    assert_eq!(files.len(), 2, "{files:?}");
}

fn command(programs: &[Squares]) -> String {
    let targets: Vec<_> = programs.iter().map(|program| format!("--target {}", program.stub_target.target())).collect();
    format!("run gostats {}", targets.join(" "))
}

fn programs(delays: &[u64]) -> Vec<Squares> {
    delays.iter().map(|delay| Squares::after(Duration::from_millis(*delay))).collect()
}

#[test]
fn signal_at_any_moment_leaves_whole_lines_and_a_valid_state() {
    let _load = load::timed();
    for signal in [Signal::TERM, Signal::INT] {
        let programs = programs(&[4, 5, 10, 20, 40]);
        let (agent, command) = (Agent::without_engine(), command(&programs));
        assert_undisturbed(&agent, &command, &programs);
        let mut ends = [0; 3];
        // Again from the start, and longer, if other work on the machine hid a moment, or programs start slowly.
        for (attempt, milliseconds) in [70, 70, 70, 70, 140, 280, 560].into_iter().flat_map(|end| 0..end).enumerate() {
            if attempt >= 70 && ends.iter().all(|times| *times > 0) {
                break;
            }
            let running = agent.start(&command);
            thread::sleep(Duration::from_millis(milliseconds));
            running.signal(signal);
            let output = running.output();
            let end = match (output.status.code(), output.status.signal()) {
                (Some(0), None) => 0,
                (Some(1), None) => 1,
                (None, Some(killed)) if killed == signal.as_raw() => 2,
                _ => panic!("neither 0, 1 nor {signal:?}: {output}"),
            };
            ends[end] += 1;
            // Printed values are in the state. A target that received a request and is not ready has a line.
            let printed: Vec<_> = programs.iter().map(|program| program.check(&output)).collect();
            let diagnostics: Vec<_> = output.stderr.lines().collect();
            let word =
                if signal == Signal::TERM { " when the run received SIGTERM" } else { " when the run received SIGINT" };
            assert!(diagnostics.iter().all(|line| line.ends_with(word)), "{output}");
            assert_eq!(end == 0, printed.contains(&true), "{output}");
            if end != 2 {
                for (program, printed) in programs.iter().zip(printed) {
                    let named = diagnostics.iter().any(|line| line.contains(&program.stub_target.target()));
                    assert_eq!(named, !printed, "{}: {output}", program.stub_target.target());
                }
            }
            assert_undisturbed(&agent, &command, &programs);
        }
        println!(
            "{signal:?}: {} printed something, {} nothing, {} were killed before they listened",
            ends[0], ends[1], ends[2]
        );
        assert!(ends.iter().all(|times| *times > 0), "not all moments came: {ends:?}");
    }
}

/// Reads this many bytes and closes the pipe.
fn read_and_close(mut pipe: PipeReader, length: u64) -> u64 {
    io::copy(&mut pipe.by_ref().take(length), &mut io::sink()).expect("a pipe can be read")
}

/// Returns a pipe that is full.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    writer.write_all(&vec![b'x'; PIPE]).expect("the capacity of a pipe");
    (reader, writer)
}

/// Reads the rest of a pipe whose other end is closed.
fn read_to_end(mut pipe: PipeReader) -> String {
    let mut text = String::new();
    pipe.read_to_string(&mut text).expect("text");
    text
}

#[test]
fn closed_stdout_pipe_is_one_line_and_keeps_the_state() {
    let programs = programs(&[0, 0, 0]);
    let (agent, command) = (Agent::without_engine(), command(&programs));
    assert_undisturbed(&agent, &command, &programs);
    for length in [0, 1, 63, 64, 500] {
        // Full, so that the run has not written everything before the reader is gone.
        let (reader, stdout) = full_pipe();
        let (diagnostics, stderr) = io::pipe().expect("a pipe");
        let running = agent.start_into(&command, stdout, stderr);
        assert_eq!(read_and_close(reader, length), length);
        let _ = running.output().exits(1);
        insta::allow_duplicates! { insta::assert_snapshot!(read_to_end(diagnostics), @"mackerel-plugin-wasm: cannot write to stdout: Broken pipe (os error 32)"); }
        assert_undisturbed(&agent, &command, &programs);
    }
}

#[test]
fn unread_stdout_pipe_is_given_up_after_the_deadline() {
    let _load = load::timed();
    let programs = programs(&[0, 0, 0]);
    // Long names, so that the values exceed the capacity of a pipe.
    let agent = Agent::without_engine();
    let (good, targets) = (command(&programs), (1..=40).map(|host| format!("--target 127.0.0.{host}")));
    let targets: Vec<_> = targets.map(|host| format!("{host}:{}", programs[0].stub_target.port())).collect();
    let prefix = format!("--metric-key-prefix {}", "x".repeat(250));
    let command = format!("run gostats {} {prefix} --deadline 500ms", targets.join(" "));
    assert_undisturbed(&agent, &good, &programs);
    let all = agent.run(&command).exits(0).without_diagnostics();
    assert!(all.stdout.len() > PIPE, "{} bytes do not exceed the capacity of a pipe", all.stdout.len());
    let before: Vec<_> = agent.state_files().iter().map(|file| fs::read(file).expect("our own file")).collect();

    let (reader, writer) = io::pipe().expect("a pipe");
    let (diagnostics, stderr) = io::pipe().expect("a pipe");
    let output = agent.start_into(&command, writer, stderr).output().exits(1);
    insta::assert_snapshot!(read_to_end(diagnostics), @"mackerel-plugin-wasm: ended: the run hung beyond its deadline, in a disk, a pipe without a reader, or the compilation of a component");
    assert_eq!(read_to_end(reader).len(), PIPE, "{output}");
    let after: Vec<_> = agent.state_files().iter().map(|file| fs::read(file).expect("our own file")).collect();
    assert_eq!(before, after);
}

#[test]
fn unread_stderr_pipe_is_given_up_after_the_deadline() {
    let _load = load::timed();
    let programs = programs(&[0, 0, 0]);
    let agent = Agent::without_engine();
    let command = format!("{} --target 127.0.0.1:1 --deadline 500ms", command(&programs));
    let assert_right = |output: Output| assert!(programs.iter().all(|program| program.check(&output)), "{output}");
    assert_right(agent.run(&command).exits(0));
    let (unread, stderr) = full_pipe();
    // Values are printed and saved before the diagnostics.
    assert_right(agent.start_into(&command, Stdio::piped(), stderr).output().exits(1));
    drop(unread);
    assert_right(agent.run(&command).exits(0));
}

#[test]
fn closed_standard_streams_are_harmless() {
    for (closed, is_printed) in [("<&-", true), ("2>&-", true), (">&-", false), ("<&- >&- 2>&-", false)] {
        let programs = programs(&[0, 0]);
        let command = command(&programs);
        let launcher = format!("exec \"$@\" {closed}");
        let agent = Agent::without_engine();
        assert_undisturbed(&agent, &command, &programs);
        let agent = agent.with_launcher(&["sh", "-c", &launcher, "sh"]);
        let output = agent.run(&command).exits(0).without_diagnostics();
        for program in &programs {
            assert_eq!(program.check(&output), is_printed, "{closed}: {output}");
            // Values for a closed stdout count as printed.
            program.remembered.set(2);
        }
        assert_undisturbed(&agent.with_launcher(&[]), &command, &programs);
    }
}

#[test]
fn standard_streams_without_a_reader_are_harmless() {
    let programs = programs(&[0, 0]);
    let (agent, command) = (Agent::without_engine(), command(&programs));
    assert_undisturbed(&agent, &command, &programs);
    // Neither stream has a reader: only the diagnostics are lost.
    let (stdout, stderr) = [(); 2].map(|()| io::pipe().expect("a pipe").1).into();
    let output = agent.start_into(&command, stdout, stderr).output().exits(1);
    assert_eq!(output.stdout, "");
    assert_undisturbed(&agent, &command, &programs);
    let (_, stderr) = io::pipe().expect("a pipe");
    let output = agent.start_into(&format!("{command} --verbose"), Stdio::piped(), stderr).output().exits(0);
    assert!(programs.iter().all(|program| program.check(&output)), "{output}");
    assert_undisturbed(&agent, &command, &programs);
}
