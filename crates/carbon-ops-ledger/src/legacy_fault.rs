//! What is wrong with a line of version 0.1, each kind with its name and with whether the Python
//! package lets it pass.
//!
//! Out of scope: finding it, which is in `legacy/`.

use carbon_ops_proof::canonical::ParseError;

/// The most bytes of a line that are read. The Python package has no limit; its records have about
/// 830 bytes, and without one a line could fill the memory.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// The most digits of an integer that Python reads unless it is told otherwise (CPython 3.10.7 and
/// later, `sys.int_info.default_max_str_digits`).
pub(crate) const MAX_DIGITS: usize = 4300;

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// There is no line at all. Python: valid.
    #[error("the file is empty, which shows nothing")]
    EmptyFile,
    /// A line without content. Python passes over it.
    #[error("the line is blank; the writer leaves none")]
    BlankLine,
    /// More than [`MAX_LINE_BYTES`].
    #[error("the line is longer than {MAX_LINE_BYTES} bytes and was not checked")]
    TooLong,
    /// The only line has no newline and is no record.
    #[error("the only line has no newline and is not a complete record")]
    Unterminated,
    /// White space around the record, a carriage return for instance. Python strips it.
    #[error("white space stands around the record")]
    SurroundingSpace,
    /// No JSON, or JSON that the package cannot have signed (a lone surrogate).
    #[error("not a record: {0}")]
    Json(ParseError),
    /// JSON, but no object.
    #[error("the line is not an object")]
    NotAnObject,
    /// A name twice in one object. Python keeps the last, other readers the first.
    #[error("the member {0:?} appears twice; Python reads the last, others the first")]
    DuplicateMember(String),
    /// `NaN`, `Infinity` or a number beyond all doubles. Python signs them; they are not JSON.
    #[error("a number is not finite, for which JSON has no text")]
    NonFinite,
    /// An integer that Python refuses to read. Of records to be written only: an older Python may
    /// have written one, and its digits are all there.
    #[error("an integer has more than {MAX_DIGITS} digits, which Python does not read")]
    HugeInteger,
    /// Other bytes than Python writes for the same content: spaces, escapes, spelling of numbers.
    #[error("the line is not spelt as the writer spells it; its content is as signed")]
    Respelled,
    /// The signature is missing or has the wrong form.
    #[error("signature must be 128 hex digits")]
    SignatureForm,
    /// The signature is written with capitals. Python reads them.
    #[error("signature is not in lower case")]
    SignatureCase,
    /// No trusted key and not the key that the line names made the signature.
    #[error("the signature does not verify")]
    Signature,
    /// Signed by the key that the line names, which is not trusted, in a ledger where others are.
    #[error("the line is signed by the key {0}, which is not trusted")]
    UntrustedKey(String),
    /// `signing_key`, which is not signed, does not name the key that signed. Python ignores it.
    #[error("signing_key does not name the key that signed the line")]
    SigningKey,
    /// `signature_algorithm`, which is not signed, is not `ed25519`. Python ignores it.
    #[error("signature_algorithm is not \"ed25519\"")]
    Algorithm,
    /// The first record names one before it. Python: valid.
    #[error("the first record follows another one: the beginning of the ledger is missing")]
    HeadMissing,
    /// A later record names none before it: the writer had found its last line unreadable.
    #[error("prev_hash is missing: a new chain begins here")]
    ChainRestart,
    /// The record was made to follow another one than it follows here.
    #[error("prev_hash does not match the record before")]
    PrevHash,
}

impl Fault {
    /// A stable name for reports that machines read.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::EmptyFile => "empty_file",
            Self::BlankLine => "blank_line",
            Self::TooLong => "too_long",
            Self::Unterminated => "unterminated",
            Self::SurroundingSpace => "surrounding_space",
            Self::Json(_) => "not_a_record",
            Self::NotAnObject => "not_an_object",
            Self::DuplicateMember(_) => "duplicate_member",
            Self::NonFinite => "non_finite",
            Self::HugeInteger => "huge_integer",
            Self::Respelled => "respelled",
            Self::SignatureForm => "signature_form",
            Self::SignatureCase => "signature_case",
            Self::Signature => "signature",
            Self::UntrustedKey(_) => "untrusted_key",
            Self::SigningKey => "signing_key",
            Self::Algorithm => "signature_algorithm",
            Self::HeadMissing => "head_missing",
            Self::ChainRestart => "chain_restart",
            Self::PrevHash => "prev_hash",
        }
    }

    /// Whether the package's own `validate_ledger` lets this pass, when it is given the key.
    #[must_use]
    pub fn python_accepts(&self) -> bool {
        matches!(
            self,
            Self::EmptyFile
                | Self::BlankLine
                | Self::SurroundingSpace
                | Self::DuplicateMember(_)
                | Self::NonFinite
                | Self::Respelled
                | Self::SignatureCase
                | Self::SigningKey
                | Self::Algorithm
                | Self::HeadMissing
        )
    }
}
