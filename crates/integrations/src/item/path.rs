//! Document paths (`info.ratings[2]`): looking up, setting, removing, and taking only some of an item.

use super::value::{Attribute, Item};
use std::collections::BTreeMap;
use std::fmt;

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Name(String),
    Index(usize),
}

/// A path; it begins with a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Path(pub Vec<Step>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<String> = self
            .0
            .iter()
            .map(|step| match step {
                Step::Name(name) => name.clone(),
                Step::Index(index) => format!("[{index}]"),
            })
            .collect();
        write!(f, "[{}]", steps.join(", "))
    }
}

impl Path {
    /// The attribute that it is, or lies in.
    pub fn root(&self) -> &str {
        match self.0.first() {
            Some(Step::Name(name)) => name,
            _ => "",
        }
    }

    pub fn get<'a>(&self, item: &'a Item) -> Option<&'a Attribute> {
        let (first, rest) = self.0.split_first()?;
        let Step::Name(name) = first else { return None };
        let mut value = item.get(name)?;
        for step in rest {
            value = match (step, value) {
                (Step::Name(name), Attribute::Map(map)) => map.get(name)?,
                (Step::Index(index), Attribute::List(list)) => list.get(*index)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// Puts a value there; behind a list's end, it is appended. `None` if what it lies in does not exist.
    pub fn set(&self, item: &mut Item, value: Attribute) -> Option<()> {
        match self.parent(item)? {
            Place::Map(map, name) => drop(map.insert(name.to_string(), value)),
            Place::List(list, index) => match list.get_mut(index) {
                Some(held) => *held = value,
                None => list.push(value),
            },
        }
        Some(())
    }

    /// Takes it away, if it is there. `None` if what it lies in does not exist.
    pub fn remove(&self, item: &mut Item) -> Option<()> {
        match self.parent(item)? {
            Place::Map(map, name) => drop(map.remove(name)),
            Place::List(list, index) if index < list.len() => drop(list.remove(index)),
            Place::List(..) => {}
        }
        Some(())
    }

    fn parent<'a, 'p>(&'p self, item: &'a mut Item) -> Option<Place<'a, 'p>> {
        let (last, before) = self.0.split_last()?;
        let Some((first, between)) = before.split_first() else {
            let Step::Name(name) = last else { return None };
            return Some(Place::Map(item, name));
        };
        let Step::Name(name) = first else { return None };
        let mut value = item.get_mut(name)?;
        for step in between {
            value = match (step, value) {
                (Step::Name(name), Attribute::Map(map)) => map.get_mut(name)?,
                (Step::Index(index), Attribute::List(list)) => list.get_mut(*index)?,
                _ => return None,
            };
        }
        match (last, value) {
            (Step::Name(name), Attribute::Map(map)) => Some(Place::Map(map, name)),
            (Step::Index(index), Attribute::List(list)) => Some(Place::List(list, *index)),
            _ => None,
        }
    }
}

enum Place<'a, 'p> {
    Map(&'a mut Item, &'p str),
    List(&'a mut Vec<Attribute>, usize),
}

/// The first two paths of which one lies in the other, or that take a thing for a map and a list.
pub(crate) fn clash<'a>(paths: &[&'a Path]) -> Option<(&'a Path, &'a Path)> {
    let mut sorted = paths.to_vec();
    sorted.sort();
    // In this order a path is followed by those that lie in it, and by none of others in between.
    sorted.windows(2).map(|pair| (pair[0], pair[1])).find(|(a, b)| {
        let common = a.0.iter().zip(&b.0).take_while(|(a, b)| a == b).count();
        match (a.0.get(common), b.0.get(common)) {
            (Some(Step::Name(_)), Some(Step::Name(_))) | (Some(Step::Index(_)), Some(Step::Index(_))) => {
                false
            }
            (Some(_), Some(_)) => true,
            _ => common == a.0.len() || common == b.0.len(),
        }
    })
}

/// The parts of an item that the paths name. Of lists, the named elements close up.
pub(crate) fn project(item: &Item, paths: &[&Path]) -> Item {
    let mut names: BTreeMap<&str, Node<'_>> = BTreeMap::new();
    for path in paths {
        if let Some((Step::Name(name), rest)) = path.0.split_first() {
            names.entry(name).or_default().add(rest);
        }
    }
    pick(item, &names)
}

/// What is wanted of a value: all of it, if nothing in it is named.
#[derive(Default)]
struct Node<'a> {
    names: BTreeMap<&'a str, Node<'a>>,
    indexes: BTreeMap<usize, Node<'a>>,
}

impl<'a> Node<'a> {
    fn add(&mut self, steps: &'a [Step]) {
        match steps.split_first() {
            Some((Step::Name(name), rest)) => self.names.entry(name).or_default().add(rest),
            Some((Step::Index(index), rest)) => self.indexes.entry(*index).or_default().add(rest),
            None => {}
        }
    }

    fn of(&self, value: &Attribute) -> Option<Attribute> {
        if self.names.is_empty() && self.indexes.is_empty() {
            return Some(value.clone());
        }
        match value {
            Attribute::Map(map) => {
                Some(pick(map, &self.names)).filter(|map| !map.is_empty()).map(Attribute::Map)
            }
            Attribute::List(list) => {
                let picked: Vec<_> =
                    self.indexes.iter().filter_map(|(index, node)| node.of(list.get(*index)?)).collect();
                Some(picked).filter(|list| !list.is_empty()).map(Attribute::List)
            }
            _ => None,
        }
    }
}

fn pick(item: &Item, names: &BTreeMap<&str, Node<'_>>) -> Item {
    names.iter().filter_map(|(name, node)| Some((name.to_string(), node.of(item.get(*name)?)?))).collect()
}
