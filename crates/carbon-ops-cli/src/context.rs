//! What every command is given: the settings, resolved once, and where its words go.
//!
//! Out of scope: which settings there are and what they mean ([`carbon_ops::settings`]).

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use carbon_ops::env::Env;
use carbon_ops::grid::cache::Mode;
use carbon_ops::ledger::append::pipeline::Pipeline;
use carbon_ops::ledger::files::Holder;
use carbon_ops::ledger::keys::Trust;
use carbon_ops::records::{self, At, Counts, How, Prepare};

use crate::progress::Progress;
use carbon_ops::settings::Settings;
use carbon_ops::sources::Grid;
use carbon_ops::store::{Keyring, Opened, Store};
use carbon_ops::verify;
use carbon_ops_words::letters::Letters;
use carbon_ops_words::said::{Form, Level, Manner, Say};
use serde_json::{Value, json};

use crate::args::{AGENT, Output, Records, Sources, Trusted};
use crate::layout::fit;
use crate::render::describe;

/// The surroundings of a command.
pub(crate) struct Context<'a> {
    pub(crate) settings: Settings,
    pub(crate) env: Env,
    pub(crate) out: Out<'a>,
    pub(crate) err: &'a mut dyn Say,
    /// In which `err` is spoken to.
    pub(crate) manner: Manner,
}

/// Standard output. Rule: a verdict survives its output. What cannot be written is remembered, and what the command
/// answers by its exit code stands.
pub(crate) struct Out<'a> {
    to: &'a mut dyn Write,
    failed: Option<io::Error>,
}

impl<'a> Out<'a> {
    pub(crate) fn new(to: &'a mut dyn Write) -> Self {
        Self { to, failed: None }
    }

    /// For a command whose work is its output, line by line: it ends when nobody takes that any more.
    pub(crate) fn stream(&mut self) -> &mut (dyn Write + 'a) {
        self.to
    }

    /// Why output was lost; a reader that has seen enough is no failure.
    pub(crate) fn failure(&mut self) -> Option<io::Error> {
        let _ = self.flush();
        self.failed.take().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }
}

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed.is_none() {
            self.failed = self.to.write_all(bytes).err();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.failed.is_none() {
            self.failed = self.to.flush().err();
        }
        Ok(())
    }
}

/// At once, because whoever waits does not know for what.
fn waits(holder: &Holder, form: Form) {
    let (file, letters) = (holder.path.display(), Letters::default());
    let words = format!("waiting for {file}, which {holder} holds");
    Manner { form, letters }.stderr().say(Level::Info, &words);
}

fn tell_wait(holder: &Holder) {
    waits(holder, Form::Text);
}

/// Of those that keep a log, the agent alone writes to a ledger.
fn log_wait(holder: &Holder) {
    waits(holder, AGENT);
}

impl Context<'_> {
    /// The ledger in a directory, or the default one; it need not exist.
    pub(crate) fn store(&self, path: Option<&Path>) -> Result<Store> {
        let tell = if self.manner.form == Form::Text { tell_wait } else { log_wait };
        Ok(Store::of(&self.settings, &self.env)?.at(path).on_wait(tell))
    }

    /// The same of a ledger that exists.
    pub(crate) fn existing(&self, path: Option<&Path>) -> Result<Store> {
        let store = self.store(path)?;
        if !store.exists() {
            return Err(store.missing());
        }
        Ok(store)
    }

    /// Appends an entry to a ledger, and signs a checkpoint if there has been none for long; that it could not
    /// is told, and takes nothing from the entry.
    pub(crate) fn append<T>(
        &mut self,
        path: Option<&Path>,
        act: impl FnOnce(&mut Opened<'_>) -> Result<T>,
    ) -> Result<T> {
        let store = self.store(path)?;
        let keyring = store.keyring()?;
        let mut opened = self.open(&store, &keyring)?;
        let appended = act(&mut opened)?;
        if let Err(error) = opened.checkpoint_if_due() {
            let error = describe(&error);
            let _ = writeln!(self.err, "carbon-ops: no checkpoint was signed: {error}");
        }
        Ok(appended)
    }

    /// A ledger to write to; what was made, repaired or found is told.
    pub(crate) fn open<'k>(&mut self, store: &Store, keyring: &'k Keyring) -> Result<Opened<'k>> {
        let opened = store.open(keyring)?;
        self.tell(&opened.notices);
        Ok(opened)
    }

    fn tell(&mut self, notices: &[String]) {
        for notice in notices {
            self.err.say(Level::Info, notice);
        }
    }

    /// A ledger that takes many records; what was made or repaired is told.
    pub(crate) fn pipeline(&mut self, store: &Store) -> Result<Pipeline> {
        let (pipeline, notices) = store.pipeline(store.keyring()?)?;
        self.tell(&notices);
        Ok(pipeline)
    }

    /// The file of a ledger that is only read.
    pub(crate) fn ledger_file(&self, path: Option<&Path>) -> Result<PathBuf> {
        verify::file(path, &self.settings)
    }

    /// The keys that are believed.
    pub(crate) fn trust(&self, given: &Trusted) -> Result<Trust> {
        verify::trust(given.trust.as_deref(), &self.settings, &self.env)
    }

    /// The providers that are asked for a grid's intensity.
    pub(crate) fn grid(&self, sources: &Sources) -> Result<Grid> {
        let mode = if sources.offline { Mode::Offline } else { Mode::Online };
        Grid::new(&self.settings.grid, &sources.grid.providers, mode)
    }

    /// The records of ledgers and files, with those of `other_times` where these are asked for.
    pub(crate) fn records<T: Send>(
        &self,
        of: &Records,
        parts: bool,
        other_times: bool,
        prepare: &Prepare<'_, T>,
        accept: &mut dyn FnMut(T) -> Result<()>,
    ) -> Result<Counts> {
        self.records_at(of, parts, other_times, prepare, &mut |made, _| accept(made))
    }

    /// The same, with where each stands.
    pub(crate) fn records_at<T: Send>(
        &self,
        of: &Records,
        parts: bool,
        other_times: bool,
        prepare: &Prepare<'_, T>,
        accept: &mut dyn FnMut(T, At) -> Result<()>,
    ) -> Result<Counts> {
        let progress = Progress::start("reading", None);
        let how = How {
            tell: &|bytes| progress.tell(bytes, None),
            trust: of.trusted.trust.as_deref(),
            include_simulated: of.include_simulated,
            parts,
            choice: &of.chosen.choice(),
            other_times,
            settings: &self.settings,
            env: &self.env,
        };
        records::each_at(&of.paths, &how, prepare, accept)
    }

    /// Prints what there is to say, for programs or for people; the exit code of what was done.
    pub(crate) fn answer(&mut self, output: &Output, report: Value, text: &str) -> Result<u8> {
        if output.json {
            self.report(report)?;
        } else if !text.is_empty() {
            self.say(&format!("{}\n", text.trim_end_matches('\n')))?;
        }
        Ok(0)
    }

    /// The same of a text that programs take as it is: a proof, a checkpoint, a key.
    pub(crate) fn hand_over(&mut self, output: &Output, report: Value, text: &str) -> Result<u8> {
        if output.json {
            self.report(report)?;
        } else if !text.is_empty() {
            writeln!(self.out, "{}", text.trim_end_matches('\n'))?;
        }
        Ok(0)
    }

    /// Prints text for people.
    pub(crate) fn say(&mut self, text: &str) -> Result<()> {
        let text = if io::stdout().is_terminal() { fit(text) } else { text.to_owned() };
        Ok(self.out.write_all(self.manner.letters.spell(&text).as_bytes())?)
    }

    /// Prints a report for programs, with the version of its form.
    pub(crate) fn report(&mut self, mut report: Value) -> Result<()> {
        if let Some(members) = report.as_object_mut() {
            members.entry("schema_version").or_insert(json!(1));
        }
        Ok(writeln!(self.out, "{report:#}")?)
    }
}
