//! What blocks hold, and what whoever wrote them knows of that.

/// What a block holds, as a number: none for zeroes, and otherwise another one for each block that is ever written.
pub type Tag = u64;

pub const ZEROES: Tag = 0;

/// What a block may hold: one thing, or one of several while it is not known whether changes were carried out.
#[derive(Clone, Debug)]
pub struct Known(Vec<Tag>);

impl Known {
    pub fn is(tag: Tag) -> Self {
        Self(vec![tag])
    }

    pub fn all_are(tags: &[Tag]) -> Vec<Self> {
        tags.iter().map(|tag| Self::is(*tag)).collect()
    }

    pub fn zeroes(count: u64) -> Vec<Self> {
        vec![Self::is(ZEROES); count as usize]
    }

    /// What it holds, if that is known.
    pub fn tag(&self) -> Option<Tag> {
        if let [tag] = self.0[..] { Some(tag) } else { None }
    }

    /// A change has ended without a word of what became of it.
    pub fn or(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub fn allows(&self, block: &[u8]) -> bool {
        self.0.iter().any(|tag| holds(block, *tag))
    }
}

pub fn fill(block: &mut [u8], tag: Tag) {
    for (word, at) in block.chunks_exact_mut(8).zip(0..) {
        word.copy_from_slice(&word_of(tag, at).to_le_bytes());
    }
}

/// The tag first, and what follows from it behind.
fn word_of(tag: Tag, at: u64) -> u64 {
    match (tag, at) {
        (ZEROES, _) => 0,
        (_, 0) => tag,
        _ => (tag ^ at << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15),
    }
}

pub fn holds(block: &[u8], tag: Tag) -> bool {
    block.chunks_exact(8).zip(0..).all(|(word, at)| word == word_of(tag, at).to_le_bytes())
}

/// For the message of a failure.
pub fn describe(block: &[u8]) -> String {
    let tag = word(block, 0);
    if holds(block, tag) { format!("{tag:#x}") } else { format!("{tag:#x}, torn") }
}

pub fn word(block: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(block[at * 8..at * 8 + 8].try_into().expect("eight bytes"))
}
