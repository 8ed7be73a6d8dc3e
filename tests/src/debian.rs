//! Servers of this machine's Debian packages, in containers. Their images have the executable, its libraries, and the
//! names of users, and need no registry.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;
use std::process::Command;

use crate::engine::{Container, Engine, Group};
use crate::{skip, wait};

/// Files for servers that look up the user that they run as.
const USERS: [&str; 2] = ["/etc/passwd", "/etc/group"];

impl Engine {
    /// Returns the image of an executable of this machine. Reports it if there is none, with the scenarios that are not
    /// tested.
    pub(crate) fn image_of_executable(&self, executable: &str, untested: &str) -> Option<String> {
        if !skip::has_commands(&["ldd"], untested) {
            return None;
        }
        let ldd = Command::new("ldd").arg(executable).output().expect("ldd can be started");
        if !ldd.status.success() {
            skip::notice(&format!("no {executable}"), untested);
            return None;
        }
        let linked = String::from_utf8_lossy(&ldd.stdout);
        // A line is NAME => PATH (ADDRESS), or PATH (ADDRESS).
        let libraries = linked.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
        let files: Vec<&str> = [executable].into_iter().chain(USERS).chain(libraries).collect();
        let mut hasher = DefaultHasher::new();
        for file in &files {
            fs::read(file).expect("a file of the server").hash(&mut hasher);
        }
        let name = Path::new(executable).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let image = format!("scenarios-{name}:{:016x}", hasher.finish());
        let files: Vec<&str> = files.iter().map(|file| file.trim_start_matches('/')).collect();
        self.import(&image, &[format!("ENTRYPOINT [\"{executable}\"]")], Path::new("/"), &files);
        Some(image)
    }
}

impl<'e> Group<'e> {
    /// Starts an executable of this machine in a container, with options of `docker run` and arguments of its own.
    /// Reports it if there is none.
    pub fn server(&self, name: &str, options: &str, executable: &str, arguments: &str) -> Option<Container<'e>> {
        let image = self.engine().image_of_executable(executable, "ready-made collectors with real servers")?;
        Some(self.run_image(name, options, image, arguments))
    }
}

impl Container<'_> {
    /// Returns the command lines of its processes.
    pub fn processes(&self) -> String {
        self.docker(&["top", self.id(), "-o", "pid,args"])
    }

    /// Waits until its log contains this text.
    pub fn wait_until_logged(&self, text: &str) {
        wait::until(&format!("{} logs '{text}'", self.name()), || self.log().contains(text).then_some(()));
    }
}
