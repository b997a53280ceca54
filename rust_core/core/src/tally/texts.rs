//! Lines of the text group (`docs/wire-format.md`, "Text lines"): for people, never to act on.

use std::collections::VecDeque;

/// Longest line with its end.
pub const LINE_BYTES_MAX: usize = 512;
/// Lines that wait to be taken; the oldest give way.
pub const LINES_KEPT: usize = 1_024;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLine {
    /// Receive stamp, nanoseconds since the epoch.
    pub rx_ns: i64,
    /// Without its end.
    pub text: String,
}

/// Lines as they come.
#[derive(Debug, Default)]
pub struct Texts {
    kept: VecDeque<TextLine>,
    /// Lines heard.
    pub lines: u64,
    /// Datagrams that are no line: longer than [`LINE_BYTES_MAX`], without its end, or with other bytes than printable
    /// ASCII, which could move a terminal's cursor.
    pub refused: u64,
    /// Lines that gave way before they were taken.
    pub overrun: u64,
}

impl Texts {
    /// Takes one datagram of the text group.
    pub fn on_datagram(&mut self, datagram: &[u8], rx_ns: i64) {
        let line = datagram.strip_suffix(b"\n").filter(|_| datagram.len() <= LINE_BYTES_MAX);
        let printable = line.filter(|line| line.iter().all(|byte| (b' '..=b'~').contains(byte)));
        let Some(text) = printable.and_then(|line| str::from_utf8(line).ok()) else {
            self.refused += 1;
            return;
        };
        self.lines += 1;
        if self.kept.len() == LINES_KEPT {
            self.kept.pop_front();
            self.overrun += 1;
        }
        self.kept.push_back(TextLine { rx_ns, text: text.to_owned() });
    }

    /// The lines since the last call, the oldest first.
    pub fn take(&mut self) -> impl Iterator<Item = TextLine> + '_ {
        self.kept.drain(..)
    }
}
