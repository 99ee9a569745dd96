//! The file that is handed on: what a finding shows, the packs that prove it, and the judge, with no network and
//! nothing outside of it.
//!
//! The packs and the judge stand in it as base64 of deflate (zlib), which the browser inflates; the question as it is.
//! A policy in the page lets run its one script, by its hash, and WebAssembly, and nothing else.
//!
//! Out of scope: what is shown of a finding (`body`); writing the file.

use std::io::{self, Read as _, Write as _};

use base64ct::{Base64, Encoding as _};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use sha2::{Digest as _, Sha256};

use crate::judge::Finding;
use crate::question::Question;

/// The judge as `cargo xtask wasm` builds it, deflated.
static MODULE: &[u8] = include_bytes!("../judge/judge.wasm.z");

/// SHA-256 of the judge, inflated, in hex.
pub const MODULE_SHA256: &str = include_str!("../judge/judge.wasm.sha256").trim_ascii();

const STYLE: &str = include_str!("../page/style.css");
const SCRIPT: &str = include_str!("../page/script.js");

/// The judge: a module of WebAssembly whose only import is `page.tell`.
///
/// # Errors
/// Never, unless the library was built from damaged files.
pub fn module() -> io::Result<Vec<u8>> {
    let mut module = Vec::new();
    ZlibDecoder::new(MODULE).read_to_end(&mut module)?;
    Ok(module)
}

/// What a page holds.
#[derive(Debug)]
pub struct Page<'p> {
    /// What was asked of the packs.
    pub question: &'p Question,
    /// What was found in them.
    pub finding: &'p Finding,
    /// The packs.
    pub packs: &'p [&'p [u8]],
    /// What is stated besides and not proven by them, as HTML ([`crate::stated`]).
    pub stated: Option<&'p str>,
}

impl Page<'_> {
    /// The whole file.
    ///
    /// # Errors
    /// When there is no memory to deflate into.
    pub fn html(&self) -> io::Result<String> {
        let mut html = head("report", "Energy and carbon");
        html += &verdict("");
        if let Some(stated) = self.stated {
            let label = "id=\"stated\" aria-label=\"stated\"";
            html += &["<section ", label, ">", stated, "</section>\n"].concat();
        }
        html += "<main id=\"report\">";
        html += &crate::body(self.finding, self.question);
        html += "</main>\n";
        html += &question(self.question);
        for pack in self.packs {
            html += &block("class=\"pack\"", &deflated(pack)?);
        }
        Ok(html + &tail())
    }
}

/// A page that judges the report or the pack that its reader chooses, for who distrusts the page that he was sent.
#[must_use]
pub fn judge_page() -> String {
    let choose = "<p><label for=\"choose\">A report or an audit pack: </label><input id=\"choose\" type=\"file\"> \
                  <span id=\"file\"></span></p>";
    let mut html = head("judge", "Judge of reports");
    html += &verdict(choose);
    html += "<main id=\"report\"></main>\n";
    html += &question(&Question::default());
    html + &tail()
}

fn head(mode: &str, title: &str) -> String {
    let hash = |text: &str| Base64::encode_string(&Sha256::digest(text));
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\" data-mode=\"{mode}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; base-uri 'none'; form-action 'none'; \
         style-src 'sha256-{}'; script-src 'sha256-{}' 'wasm-unsafe-eval'; worker-src blob:\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n",
        hash(STYLE),
        hash(SCRIPT)
    )
}

/// Where the verdict is told, and what the reader has by another way is asked for.
fn verdict(choose: &str) -> String {
    format!(
        "<section id=\"verdict\" class=\"grey\" aria-label=\"verdict\"><p role=\"status\" aria-live=\"polite\">\
         <span id=\"colour\">…</span><span id=\"words\">is not checked: that takes a browser with scripts and \
         WebAssembly</span></p>{choose}<progress id=\"progress\" max=\"1\" value=\"0\" aria-label=\"checked\" hidden></progress>\
         <div id=\"ask\" hidden><p>The key behind it: <code id=\"keys\"></code></p>\
         <p>A file can bring its own key. Ask whoever wrote the records for the key's fingerprint, or for a checkpoint, by \
         another way than this file came, and enter it:</p>\
         <form id=\"check\"><label for=\"known\">Fingerprint, key or checkpoint</label>\
         <textarea id=\"known\" rows=\"2\" spellcheck=\"false\" autocomplete=\"off\"></textarea>\
         <button>Check</button></form></div></section>\n"
    )
}

/// What is no script: browsers leave it as it is.
fn block(attributes: &str, text: &str) -> String {
    format!("<script type=\"application/octet-stream\" {attributes}>{text}</script>\n")
}

fn question(question: &Question) -> String {
    block("id=\"question\"", &question.to_text())
}

fn tail() -> String {
    let module = block("id=\"module\"", &Base64::encode_string(MODULE));
    format!("{module}<script>{SCRIPT}</script>\n</body>\n</html>\n")
}

fn deflated(bytes: &[u8]) -> io::Result<String> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(Base64::encode_string(&encoder.finish()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_the_one_whose_hash_is_stated() {
        let hash = Sha256::digest(module().unwrap());
        let hex = hash.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(hex, MODULE_SHA256);
    }

    #[test]
    fn no_part_of_a_page_ends_a_block() {
        assert!(!SCRIPT.contains("</") && !STYLE.contains("</"));
        let question = Question {
            choice: carbon_ops_record::totals::Choice {
                common: vec!["a=</script><script>".parse().unwrap()],
                ..Default::default()
            },
            ..Question::default()
        };
        assert_eq!(super::question(&question).matches('<').count(), 2);
        assert_eq!(Question::parse(&question.to_text()), Ok(question));
    }
}
