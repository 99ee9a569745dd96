//! `carbon-ops top`: what the machine uses, on a screen that stays up to date.
//!
//! The samples are those of `monitor`, of which [`carbon_ops_top`] makes frames.
//!
//! Out of scope: what a frame shows, and what a key means.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use carbon_ops::env::Env;
use carbon_ops::watch::{self, Watch, What};
use carbon_ops_top::glyphs::Glyphs;
use carbon_ops_top::keys::Wish;
use carbon_ops_top::model::{Model, Order};
use carbon_ops_top::screen::Screen;
use carbon_ops_words::letters::Letters;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};

use super::monitor::pace::{Pace, Signals, Woken};
use super::monitor::{self, At};
use crate::args::{Sort, Top};
use crate::context::Context;

/// The first frame comes sooner than the others.
const FIRST: Duration = Duration::from_millis(500);

pub(crate) fn run(args: &Top, context: &mut Context<'_>) -> Result<u8> {
    let dumb = context.env.variable("TERM").is_none_or(|name| name == "dumb");
    if dumb || !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        bail!(
            "`top` needs a terminal that can move its cursor, at input and output\nhint: `carbon-ops monitor --all` \
             prints the same figures sample by sample, and with --json for programs"
        );
    }
    let at = At {
        counters: &args.counters,
        host_root: args.host_root.as_deref(),
        providers: &args.grid.providers,
        governor: args.host.as_deref(),
    };
    // The view sorts and filters, so that it needs every row.
    let options = watch::Options {
        what: What::All,
        by: watch::By::Process,
        sort: watch::Sort::Energy,
        limit: usize::MAX,
        idle: args.idle.policy,
    };
    let mut watch = monitor::open(&at, &options, context)?;
    let order = match args.sort {
        Sort::Energy => Order::Power,
        Sort::Cpu => Order::Cpu,
        Sort::Memory => Order::Memory,
        Sort::Name => Order::Name,
    };
    let model =
        Model::new(glyphs(|name| context.env.variable(name)), args.interval, order, args.tree);
    look(&mut watch, model)?;
    Ok(0)
}

/// Until somebody has seen enough.
fn look(watch: &mut Watch, mut model: Model) -> Result<()> {
    let signals = Signals::block_also(&[Signal::SIGTSTP, Signal::SIGWINCH])?;
    let mut screen = Screen::enter()?;
    screen.draw(&model)?;
    let mut pace = Pace::new(watch.begun(), model.interval.min(FIRST));
    let mut is_first = true;
    loop {
        let deadline = pace.deadline().unwrap_or_else(Instant::now);
        let wake = watch.poll().map_or(deadline, |due| due.min(deadline));
        let woken = signals.wait(wake, Some(io::stdin().as_fd()))?;
        let wish = match woken {
            Woken::Time => Wish::Nothing,
            Woken::Signal => match signals.take() {
                Some(Signal::SIGWINCH) | None => Wish::Nothing,
                Some(Signal::SIGTSTP) => Wish::Stop,
                Some(_) => Wish::Quit,
            },
            Woken::Input => screen.take_input(&mut model)?,
        };
        match wish {
            Wish::Nothing => {}
            Wish::Quit => return Ok(()),
            Wish::Stop => screen.without(stop)??,
            Wish::Pace => pace = Pace::new(Instant::now(), model.interval),
        }
        let now = Instant::now();
        let is_due = now >= deadline;
        if is_due {
            let missed = pace.advance(now);
            let (sample, _) = watch.sample(missed, false)?;
            let ahead = watch.ahead(Env::now());
            model.take(sample, ahead);
            if std::mem::take(&mut is_first) {
                pace = Pace::new(now, model.interval);
            }
        }
        // Counters that are read often leave the frame as it is.
        if is_due || woken != Woken::Time {
            screen.draw(&model)?;
        }
    }
}

/// Stops as a shell expects it, until it is told to go on.
fn stop() -> nix::Result<()> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGTSTP);
    // Not to be lost between the two: it is pending until the mask lets it through.
    raise(Signal::SIGTSTP)?;
    mask.thread_swap_mask(SigmaskHow::SIG_UNBLOCK)?;
    mask.thread_swap_mask(SigmaskHow::SIG_BLOCK).map(drop)
}

/// What the terminal shows, by what the environment says of it: <https://no-color.org>, and the locale of letters in
/// the order of POSIX.
fn glyphs<'v>(variable: impl Fn(&str) -> Option<&'v str>) -> Glyphs {
    let ascii = Letters::of(&variable) == Letters::Ascii;
    Glyphs { ascii, colour: variable("NO_COLOR").is_none() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables of a terminal, and whether letters beyond ASCII and colours are shown.
    #[test]
    fn letters_follow_the_locale_and_colours_no_color() {
        for (variables, letters, colour) in [
            (&[("LANG", "C")][..], false, true),
            (&[("LANG", "C"), ("LC_CTYPE", "C.utf8"), ("NO_COLOR", "1")], true, false),
        ] {
            let value =
                |name: &str| variables.iter().find(|(it, _)| *it == name).map(|(_, it)| *it);
            assert_eq!(glyphs(value), Glyphs { ascii: !letters, colour }, "{variables:?}");
        }
    }
}
