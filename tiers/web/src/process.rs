//! One running process of the application, seen through its guardian.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, Command},
    task::JoinHandle,
};

use crate::{
    guardian,
    output::{self, Journal, Tail},
};

/// The program that runs, even where another one lies at its path by now: a guardian of another version could not be relied on.
/// (proc(5): the link leads to the file itself.)
pub const OWN_PROGRAM: &str = "/proc/self/exe";

/// How to start a guardian: our own binary.
#[derive(Clone, Debug)]
pub struct GuardianProgram {
    pub program: PathBuf,
}

/// A worker's process and its family. Dropping it closes the lifeline: the guardian ends the family.
pub struct Process {
    guardian: Child,
    lifeline: Option<ChildStdin>,
    readers: Vec<JoinHandle<()>>,
    pub tail: Tail,
}

impl Process {
    /// Starts `words` with `env` added to Pumasi's own environment. Runs on the control thread's `LocalSet`.
    pub fn start(
        program: &GuardianProgram,
        name: &str,
        words: &[String],
        env: &BTreeMap<String, String>,
        directory: &Path,
        journal: &Arc<dyn Journal>,
    ) -> std::io::Result<Process> {
        let mut command = Command::new(&program.program);
        command.arg(guardian::SUBCOMMAND).args(words).envs(env).current_dir(directory);
        let mut guardian = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let tail = Tail::default();
        let mut readers = vec![];
        if let Some(stream) = guardian.stdout.take() {
            readers.push(tokio::task::spawn_local(output::follow(stream, name.to_owned(), journal.clone(), tail.clone())));
        }
        if let Some(stream) = guardian.stderr.take() {
            readers.push(tokio::task::spawn_local(output::follow(stream, name.to_owned(), journal.clone(), tail.clone())));
        }
        Ok(Process { lifeline: guardian.stdin.take(), guardian, readers, tail })
    }

    pub fn guardian(&self) -> Option<u32> {
        self.guardian.id()
    }

    /// Waits for the end and says how it came, in words. Cancel-safe.
    pub async fn ended(&mut self) -> String {
        let status = self.guardian.wait().await;
        // Its last words are still in the pipes; a grandchild that escaped with them must not hold us up.
        let _ = tokio::time::timeout(Duration::from_millis(500), async {
            for reader in &mut self.readers {
                let _ = reader.await;
            }
        })
        .await;
        self.readers.clear();
        match status.map(|status| status.code()) {
            Ok(Some(code @ 129..=192)) => format!("was ended by signal {} (exit code {code})", code - 128),
            Ok(Some(code)) => format!("ended with exit code {code}"),
            Ok(None) => "was ended together with its guardian".into(),
            Err(error) => format!("could not be waited for: {error}"),
        }
    }

    /// TERM to the worker's process group.
    pub async fn terminate(&mut self) {
        self.say(guardian::TERMINATE).await;
    }

    /// KILL to the whole family.
    pub async fn kill(&mut self) {
        self.say(guardian::KILL).await;
    }

    async fn say(&mut self, word: u8) {
        if let Some(lifeline) = &mut self.lifeline {
            // A guardian that is gone has nothing to be told.
            let _ = lifeline.write_all(&[word]).await;
        }
    }
}
