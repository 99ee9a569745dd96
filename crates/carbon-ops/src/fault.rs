//! What somebody asked for and cannot have, told apart so that whoever talks to people can say what to do.
//!
//! Out of scope: the remedies.

use std::fmt;
use std::io;
use std::path::PathBuf;

use carbon_ops_estimate::intensity::NotAnInstant;
use carbon_ops_ledger::Error as LedgerError;
use carbon_ops_proof::entry::LedgerId;

/// What somebody asked for and cannot have, as facts. Fronts find their advice by the variant.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Of machines that are not one's own, direct and upstream emissions are not told apart.
    #[error("of {0} machines both parts of the electricity are one category")]
    OneCategory(String),
    /// Direct and life-cycle intensities of two sources.
    #[error(
        "{direct} has direct intensities and {lifecycle} those of the life cycle, and only what one source has \
         of both can be split"
    )]
    TwoSources {
        /// Who has the direct ones.
        direct: &'static str,
        /// Who has those of the life cycle.
        lifecycle: &'static str,
    },
    /// A span without an energy.
    #[error("no energy")]
    NoEnergy,
    /// An energy that is negative or not finite.
    #[error("{0} kWh is not a valid energy")]
    NotAnEnergy(f64),
    /// A text that is not a time.
    #[error(transparent)]
    NotAnInstant(#[from] NotAnInstant),
    /// A column of a table that nobody knows.
    #[error("unknown column {0:?}")]
    UnknownColumn(String),
    /// Something else of this program's making, where a record or a span is expected.
    #[error("this is {0}")]
    OwnOutput(Output),
    /// A line of a table with another number of fields than its heading.
    #[error("{fields} fields, and the heading has {columns}")]
    Fields {
        /// How many the line has.
        fields: usize,
        /// How many the heading has.
        columns: usize,
    },
    /// A segment that is too small to be worth a file.
    #[error("{bytes} bytes are too few for a segment; {least} are the least")]
    SegmentTooSmall {
        /// How many it has.
        bytes: u64,
        /// How many it may have.
        least: u64,
    },
    /// A configuration file that was named and is not there.
    #[error("configuration file {} does not exist", .0.display())]
    NoConfiguration(PathBuf),
    /// A configuration file that nobody named has an error.
    #[error("a configuration file was found here")]
    FoundConfiguration,
    /// The energy of a site is not less than that of its computers.
    #[error("a PUE of {0} lies below 1")]
    PueBelowOne(String),
    /// A file that somebody keeps cannot be read.
    #[error("{what} {}", path.display())]
    CannotRead {
        /// What is in it.
        what: UserFile,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A budget that is no single amount.
    #[error("{0:?} is no amount that can be a limit")]
    NoLimit(String),
    /// A run that is too short for whatever counts its energy.
    #[error("a run was so short that no energy was seen")]
    NoEnergySeen,
    /// A run that did not do its work, so that its energy says nothing.
    #[error("{program} ended with {how}, so that its energy is that of other work")]
    RunFailed {
        /// The program.
        program: String,
        /// Its exit code or signal, in the system's words.
        how: String,
    },
    /// A text that is no identity of a record.
    #[error("{0:?} names no record that this could be a part of")]
    NoParent(String),
    /// What somebody calls the work by hand is nothing that a record takes, or is there twice.
    #[error(
        "{name:?} with {id:?} is no id of a unit of work: of each 1 to 256 bytes, at most 64, and each once"
    )]
    NotAnId {
        /// The name of the id.
        name: String,
        /// The id.
        id: String,
    },
    /// Another agent uses the folder.
    #[error("another agent uses {}", .0.display())]
    SecondAgent(PathBuf),
    /// A process that is not there, or not to be seen.
    #[error("no process {0} runs that can be seen from here")]
    NoProcess(i32),
    /// A governor that counts for another machine, or did before this one was started anew.
    #[error("the governor at {} counts for another machine, or for an earlier boot", .0.display())]
    OtherBoot(PathBuf),
    /// No ledger was named, and without a home there is no default one.
    #[error("there is no default ledger without a HOME")]
    NoDefaultLedger,
    /// There is no home, so nothing has a default place.
    #[error("neither HOME nor XDG_DATA_HOME is set, so there is no default ledger")]
    NoHome,
    /// The file of a ledger cannot be opened.
    #[error("cannot open the ledger {}", path.display())]
    CannotOpen {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no ledger where one was named.
    #[error("there is no ledger in {}", path.display())]
    NoLedger {
        /// The file or folder.
        path: PathBuf,
    },
    /// There is no key file where one was named.
    #[error("there is no key file {}", path.display())]
    NoKey {
        /// The file or folder.
        path: PathBuf,
    },
    /// There is a ledger, and the key file that signs for it is gone.
    #[error("the key file {} is gone, and with it the key to {}", key.display(), ledger.display())]
    KeyGone {
        /// The key file.
        key: PathBuf,
        /// The folder of the ledger.
        ledger: PathBuf,
    },
    /// A disk or a permission is in the way.
    #[error(transparent)]
    CannotWrite(LedgerError),
    /// The file is something else.
    #[error("{} is NOT A LEDGER: {what}", path.display())]
    NotALedger {
        /// The file or folder.
        path: PathBuf,
        /// What it is.
        what: OtherFile,
    },
    /// The file is a ledger of the Python package 0.1.
    #[error("{} is a ledger of version 0.1, of the Python package", path.display())]
    Legacy {
        /// The file or folder.
        path: PathBuf,
    },
    /// A checkpoint that was kept is of another ledger.
    #[error("{} is a checkpoint of the ledger {of}, and {} is the ledger {id}", kept.display(), path.display())]
    OtherCheckpoint {
        /// The checkpoint.
        kept: PathBuf,
        /// The ledger that it is of.
        of: LedgerId,
        /// The file or folder.
        path: PathBuf,
        /// The ledger that is there.
        id: LedgerId,
    },
    /// No key of this store may write to the ledger.
    #[error("none of the keys here may write to {}", ledger.display())]
    NoWriter {
        /// The ledger.
        ledger: PathBuf,
    },
    /// More than one key may write, and none was named.
    #[error("several keys may write to {}", path.display())]
    SeveralWriters {
        /// The file or folder.
        path: PathBuf,
    },
    /// Entries are marked as suspect, and the reason is not that the key was stolen.
    #[error("entries are suspect only of a stolen key")]
    NotStolen,
    /// A ledger that is not valid, or that an unknown key began, is not joined.
    #[error("{} is not one to join: it is not valid, or its first key is not trusted here", path.display())]
    NotToJoin {
        /// The file or folder.
        path: PathBuf,
    },
    /// A text is no key with its proof of possession.
    #[error("{0:?} is not a key with its proof")]
    NoAgreement(String),
    /// A file is to be compared with the imported one, and the ledger imported none.
    #[error("the ledger's first entry pins no imported file")]
    NothingImported,
    /// A ledger is to be compared with the one that is continued, and this one continues none.
    #[error("the ledger's first entry continues no other ledger")]
    NothingContinued,
    /// A ledger of which nothing tells its name, so that no other can say that it continues it.
    #[error("nothing in {} tells which ledger it is", path.display())]
    Nameless {
        /// The file or folder.
        path: PathBuf,
    },
    /// More lines are to be continued than there are in order.
    #[error("only {sound} lines of {} are in order, and {asked} were asked for", path.display())]
    NotSoMany {
        /// The file or folder.
        path: PathBuf,
        /// How many there are.
        sound: u64,
        /// How many were asked for.
        asked: u64,
    },
    /// A file of a ledger cannot be moved aside, since another stands where it would be.
    #[error("{} is there already", path.display())]
    InTheWay {
        /// What is there.
        path: PathBuf,
    },
    /// Of two sizes of a ledger, the first is not the smaller one.
    #[error("{old} is not between 1 and {new}")]
    NotSmaller {
        /// The first.
        old: u64,
        /// The second.
        new: u64,
    },
    /// No ledger and no file of records was named.
    #[error("there is nothing to read")]
    NothingToRead,
    /// A ledger was signed by a key that is not trusted.
    #[error("the key that signed {} is not trusted", path.display())]
    Untrusted {
        /// The file or folder.
        path: PathBuf,
    },
    /// A ledger is not valid.
    #[error("{} is not valid, and nothing of it is used", path.display())]
    Invalid {
        /// The file or folder.
        path: PathBuf,
    },
    /// A record cannot be read.
    #[error("cannot read {of}")]
    NoRecord {
        /// How the record was named.
        of: String,
        /// Why.
        source: io::Error,
    },
    /// A text does not name a witness.
    #[error("{0:?} names no witness")]
    NoWitness(String),
    /// The tiles beside a ledger are those of another tree.
    #[error("the tiles beside {} are not those of the checkpoint", ledger.display())]
    OtherTiles {
        /// The ledger.
        ledger: PathBuf,
    },
    /// An entry is newer than the last checkpoint.
    #[error("no checkpoint covers entry {seq} of {}", ledger.display())]
    NotCovered {
        /// The number of the entry.
        seq: u64,
        /// The ledger.
        ledger: PathBuf,
    },
    /// An entry is not the one that a checkpoint covers.
    #[error("entry {seq} of {} is not the one that was signed for: {reason}", ledger.display())]
    NotSignedFor {
        /// The number of the entry.
        seq: u64,
        /// The ledger.
        ledger: PathBuf,
        /// In what they differ.
        reason: String,
    },
}

/// What a file is that is no ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OtherFile {
    /// An audit pack.
    #[error("it is an audit pack")]
    Pack,
    /// The proof of one entry.
    #[error("it is the proof of one entry")]
    Proof,
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// Nothing that is known here.
    #[error("it does not begin with a genesis, and no line of it is an entry")]
    Unknown,
}

/// What is in a file that somebody keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserFile {
    /// Intensities of their own grid.
    #[error("intensity file")]
    Intensities,
    /// Contracts, certificates and residual mixes.
    #[error("file of instruments")]
    Instruments,
}

/// What this program writes besides records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// A row of a stream of estimates: priced already.
    Row,
    /// An estimate whose time nobody told.
    WithoutTime,
    /// A sample of what is watched: priced already.
    Sample,
    /// A record: priced already.
    Record,
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Row => "a row of an estimate, which is priced already",
            Self::WithoutTime => "an estimate without a time",
            Self::Sample => "a sample of a monitor, which is priced already",
            Self::Record => "a record, which is priced already",
        })
    }
}
