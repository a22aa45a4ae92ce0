//! A server of a test's own, which ends with the test, however that ends.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Ends when the pipe to it closes, also if that is because this process was killed, and takes the server along: by its signal,
/// which it has to be there to hear, and by `KILL` if that takes too long.
const GUARD: &str = r#"log=$1; end=$2; shift 2; rm -f "$log"; "$@" >"$log" 2>&1 & server=$!; echo $server; cat >/dev/null
kill -CONT $(cat /proc/$server/task/$server/children) $server 2>/dev/null; kill -$end $server 2>/dev/null
(sleep 5; kill -KILL $server) >/dev/null 2>&1 & late=$!; wait $server; kill $late"#;

pub(crate) struct Server {
    guard: Child,
    pid: String,
}

impl Server {
    /// Starts a server, whose output goes to `log`, and which ends by this signal.
    pub(crate) fn start<A: AsRef<OsStr>>(log: &Path, end: &str, command: impl IntoIterator<Item = A>) -> Self {
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "sh"]).arg(log).arg(end).args(command);
        guard.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut guard = guard.spawn().expect("a shell");
        let mut pid = String::new();
        BufReader::new(guard.stdout.take().expect("a pipe")).read_line(&mut pid).expect("a number");
        Self { guard, pid: pid.trim().to_owned() }
    }

    /// Sends a signal, such as `STOP`, `CONT` or `KILL`.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([&format!("-{signal}"), &self.pid]).status().expect("the command kill");
        assert!(status.success(), "the server {} is there", self.pid);
    }

    /// The same, to the processes too that it has made.
    pub(crate) fn signal_all(&self, signal: &str) {
        // A server that goes on meanwhile makes others in place of those that are killed, which outlive it for a while.
        self.signal("STOP");
        let children = format!("/proc/{0}/task/{0}/children", self.pid);
        let children = std::fs::read_to_string(children).expect("what Linux says of a process");
        let signal = format!("-{signal}");
        // One of them may have ended by itself.
        for pid in children.split_whitespace().chain([&*self.pid]) {
            Command::new("kill").args([&signal, pid]).stderr(Stdio::null()).status().expect("the command kill");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        self.guard.wait().expect("the guard ends with its pipe");
    }
}
