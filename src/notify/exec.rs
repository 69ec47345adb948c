//! Running a program for an alert: in a process group of its own, with nothing of ours but what
//! it is to know, and not for long.

use crate::proto::v1;
use rustix::process::{Pid, Signal, kill_process_group};
use std::io;
use std::path::Path;
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

/// As much of what a program writes as is kept, bytes.
const KEPT: usize = 2048;

/// How long we wait for what a program wrote when it has ended, but others have its pipes.
const REST: Duration = Duration::from_millis(100);

/// How long a program may take to die.
const DEATH: Duration = Duration::from_secs(1);

/// Where programs look for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// How it ended; `None` if its time was over and it was killed.
    pub status: Option<ExitStatus>,
    /// The beginning of what it wrote, one line.
    pub text: String,
}

impl Ran {
    /// Whether it said that all is well.
    pub fn is_good(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }
}

/// Runs a program and waits until it ends, or until its time is over. Programs that it leaves
/// behind live on, and what they write later is not kept.
///
/// # Errors
/// It can't be started.
pub async fn run(program: &Path, alert: &v1::Alert, limit: Duration) -> io::Result<Ran> {
    let json = serde_json::to_vec(alert).map_err(io::Error::other)?;
    let mut child = command(program, alert).spawn()?;
    let mut group = Group(
        child
            .id()
            .and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)),
    );
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = {
        let mut talk = pin!(async {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // It need not read.
                    let _ = stdin.write_all(&json).await;
                }
            };
            tokio::join!(write, read(stdout, &mut out), read(stderr, &mut err));
        });
        let ended = async {
            tokio::select! {
                () = &mut talk => child.wait().await,
                status = child.wait() => {
                    // What it left behind may have its pipes for ever.
                    let _ = timeout(REST, &mut talk).await;
                    status
                }
            }
        };
        match timeout(limit, ended).await {
            Ok(status) => {
                group.0 = None;
                Some(status?)
            }
            Err(_) => {
                drop(group);
                if timeout(DEATH, child.wait()).await.is_err() {
                    // Whoever waits for orphans has it from here.
                    tracing::warn!(
                        "alerts: {} can't be killed and runs on: does it run as another user?",
                        program.display()
                    );
                }
                None
            }
        }
    };
    Ok(Ran {
        status,
        text: one_line(&[out, err].concat()),
    })
}

/// A group of processes that ends with this value, also when the hook itself ends. As long as
/// nobody has waited for its leader, the number can't belong to somebody else.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            if let Err(error) = kill_process_group(group, Signal::KILL) {
                tracing::debug!("alerts: can't end a program: {error}");
            }
        }
    }
}

fn command(program: &Path, alert: &v1::Alert) -> Command {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let nodes: Vec<String> = alert.nodes.iter().map(ToString::to_string).collect();
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env("QARBITER_ALERT_ID", &alert.id)
        .env("QARBITER_ALERT_KIND", &alert.kind)
        .env("QARBITER_ALERT_SEVERITY", &alert.severity)
        .env("QARBITER_ALERT_STATUS", text(&alert.status))
        .env("QARBITER_ALERT_KEY", &alert.key)
        .env("QARBITER_ALERT_CLUSTER", text(&alert.cluster))
        .env("QARBITER_ALERT_NODES", nodes.join(" "))
        .env("QARBITER_ALERT_MESSAGE", &alert.message)
        .env("QARBITER_ALERT_REASON", text(&alert.reason))
        .env("QARBITER_ALERT_ARBITER", &alert.arbiter)
        .env("QARBITER_ALERT_UNIX_MS", alert.unix_ms.to_string());
    command
}

/// Reads to the end and keeps the beginning.
async fn read(stream: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) {
    let Some(mut stream) = stream else { return };
    let mut piece = [0; 1024];
    // Whatever goes wrong with the pipe, there is no more to come.
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(piece.iter().take(count.min(room)));
    }
}

fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(printable).collect()
}
