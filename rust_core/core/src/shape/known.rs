//! All that a declaration knows of a frame, as one tree: the places it reads, and those it names as known.

use super::spec::{Key, Path};

/// In a path: every element of an array.
pub(super) const ANY: &str = "*";

/// A place as declared: the paths from the root of the frame that it may stand at, and whether it is read.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) paths: Vec<Path>,
    pub(super) is_read: bool,
}

/// Node of the tree.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) children: Vec<(Key, u16)>,
    /// Everything below is known.
    pub(super) is_whole: bool,
    /// It is on the way to the payload: left out of names.
    pub(super) is_envelope: bool,
    /// Places that are read here, and those that are read in a child.
    pub(super) read: Vec<u16>,
    pub(super) read_below: Vec<u16>,
}

impl Node {
    pub(super) fn child(&self, is_it: impl Fn(&Key) -> bool) -> Option<u16> {
        self.children.iter().find(|(key, _)| is_it(key)).map(|(_, node)| *node)
    }

    pub(super) fn named(&self, name: &[u8]) -> Option<u16> {
        self.child(|key| matches!(key, Key::Name(text) if text.as_bytes() == name))
    }

    pub(super) fn counts_from_the_end(&self) -> bool {
        self.child(|key| matches!(key, Key::Index(..0))).is_some()
    }

    /// Of the element of an array of so many; `None` where that does not matter.
    pub(super) fn element(&self, index: usize, count: Option<usize>) -> Option<u16> {
        let index = index as i64;
        let from_end = count.map(|count| index - count as i64);
        let at = self.child(|key| matches!(key, Key::Index(at) if *at == index || Some(*at) == from_end));
        at.or_else(|| self.named(ANY.as_bytes()))
    }
}

/// The tree of a shape and of those that read its frames after it.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) nodes: Vec<Node>,
    /// Names of the places that are read.
    pub(super) read: Vec<Box<str>>,
}

impl Known {
    /// `payload` is the way to the payload; `None` where there would be too many places.
    pub(super) fn of(declared: &[Declared], payload: &[Key]) -> Option<Known> {
        let mut known = Known { nodes: vec![Node::default()], read: Vec::new() };
        let mut node = 0;
        for key in payload {
            node = known.below(node, key)?;
            known.nodes[usize::from(node)].is_envelope = true;
        }
        for Declared { paths, is_read } in declared {
            let number = u16::try_from(known.read.len()).ok()?;
            for path in paths {
                let mut node = 0;
                let mut parent = None;
                for key in path {
                    parent = Some(node);
                    node = known.below(node, key)?;
                }
                match parent {
                    Some(parent) if *is_read => {
                        known.nodes[usize::from(node)].read.push(number);
                        known.nodes[usize::from(parent)].read_below.push(number);
                    }
                    _ => known.nodes[usize::from(node)].is_whole |= !is_read,
                }
            }
            if *is_read {
                // All paths of a place end alike; the one in the payload is the name.
                let path = paths.iter().max_by_key(|path| path.len()).map_or(&[][..], Vec::as_slice);
                known.read.push(name(path.strip_prefix(payload).unwrap_or(path)).into());
            }
        }
        known.spread(0)?;
        Some(known)
    }

    fn below(&mut self, node: u16, key: &Key) -> Option<u16> {
        if let Some(found) = self.nodes[usize::from(node)].child(|other| other == key) {
            return Some(found);
        }
        let fresh = u16::try_from(self.nodes.len()).ok()?;
        self.nodes.push(Node::default());
        self.nodes[usize::from(node)].children.push((key.clone(), fresh));
        Some(fresh)
    }

    /// What is known of every element of an array is known of each that has a position of its own.
    fn spread(&mut self, node: u16) -> Option<()> {
        let children = self.nodes[usize::from(node)].children.clone();
        if let Some(any) = self.nodes[usize::from(node)].named(ANY.as_bytes()) {
            for (key, child) in &children {
                if matches!(key, Key::Index(_)) {
                    self.copy(any, *child)?;
                }
            }
        }
        children.iter().try_for_each(|(_, child)| self.spread(*child))
    }

    fn copy(&mut self, from: u16, to: u16) -> Option<()> {
        let source = &self.nodes[usize::from(from)];
        let (is_whole, read, read_below) = (source.is_whole, source.read.clone(), source.read_below.clone());
        let children = source.children.clone();
        let target = &mut self.nodes[usize::from(to)];
        target.is_whole |= is_whole;
        target.read.extend(read);
        target.read_below.extend(read_below);
        for (key, child) in children {
            let below = self.below(to, &key)?;
            self.copy(child, below)?;
        }
        Some(())
    }
}

fn name(path: &[Key]) -> String {
    let step = |key: &Key| match key {
        Key::Name(text) => text.clone(),
        Key::Index(at) => at.to_string(),
    };
    path.iter().map(step).collect::<Vec<_>>().join(".")
}
