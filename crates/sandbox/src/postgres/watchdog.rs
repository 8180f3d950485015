//! Something that is done when this process dies, however it dies.
//!
//! A small `sh` reads a pipe whose other end is held here. End of file without the word `done` means that this process is no
//! more: it then runs its command. It is needed where `PR_SET_PDEATHSIG` cannot reach: processes that are stopped (a
//! signal other than SIGKILL waits for SIGCONT) and containers (children of a daemon).

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, Stdio};

const SCRIPT: &str = r#"words=
while read -r line; do
  [ "$line" = done ] && exit 0
  words="$words $line"
done
[ -n "$words" ] || exit 0
exec "$@" $words
"#;

/// Runs a command with the words given to it when this process dies before it is dropped.
#[derive(Debug)]
pub(crate) struct Watchdog {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Watchdog {
    /// Arms one with a command; it does nothing until it has been given a word.
    pub(crate) fn arm(command: &[&str]) -> io::Result<Self> {
        let mut child = Command::new("/bin/sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg("liverc-harness-watchdog")
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal to our group (Ctrl-C, a timeout's SIGKILL) must not take it along.
            .process_group(0)
            .current_dir("/")
            .spawn()?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// Adds a word to the command: a process id, the name of a container. No spaces in it.
    pub(crate) fn add(&mut self, word: &str) -> io::Result<()> {
        match &mut self.pipe {
            Some(pipe) => writeln!(pipe, "{word}"),
            None => Ok(()),
        }
    }
}

impl Watchdog {
    /// Does it now. Whether the command succeeded.
    #[cfg_attr(not(feature = "docker"), expect(dead_code, reason = "only containers are ended this way"))]
    pub(crate) fn fire(mut self) -> bool {
        self.pipe = None;
        self.child.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(mut pipe) = self.pipe.take() {
            let _ = writeln!(pipe, "done");
        }
        let _ = self.child.wait();
    }
}
