//! Random trees and random changes of them: the client always shows what a page of now would.

use std::sync::LazyLock;

use bennu_live::rendered::{Slot, Template, Tree, View};
use proptest::prelude::*;

use crate::client::Client;

/// Templates of every number of holes from none to eleven.
static TEMPLATES: LazyLock<Vec<&'static Template>> = LazyLock::new(|| {
    let template = |number: usize| {
        let holes = [0, 1, 2, 3, 1, 2, 11][number];
        let statics: Vec<&'static str> =
            (0..=holes).map(|index| &*format!("<{number}.{index} \"\\>").leak()).collect();
        let json = serde_json::to_string(&statics).unwrap().leak();
        let template = Template {
            statics: statics.leak(),
            json,
            fingerprint: number as u64,
            is_element: number.is_multiple_of(2),
        };
        &*Box::leak(Box::new(template))
    };
    (0..7).map(template).collect()
});

#[derive(Debug, Clone)]
enum Doc {
    Empty,
    Text(String),
    Node(usize, Vec<Doc>),
    List(usize, Vec<(u16, Vec<Doc>)>),
}

impl View for Doc {
    fn render(&self, slot: Slot<'_>) {
        match self {
            Self::Empty => slot.empty(),
            Self::Text(text) => slot.text(text),
            Self::Node(template, docs) => slot.node(TEMPLATES[*template], |holes| {
                docs.iter().for_each(|doc| holes.hole(true, |slot| doc.render(slot)));
            }),
            Self::List(template, entries) => {
                slot.list(TEMPLATES[*template], entries, |(key, docs), entry| {
                    entry.fill(key, |holes| {
                        docs.iter().for_each(|doc| holes.hole(true, |slot| doc.render(slot)))
                    });
                })
            }
        }
    }
}

/// Random choices from one number.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn doc(&mut self, depth: usize) -> Doc {
        match self.below(if depth == 0 { 3 } else { 8 }) {
            0 => Doc::Empty,
            1 | 2 => self.text(),
            3..=5 => self.node(depth),
            _ => {
                let template = self.below(TEMPLATES.len());
                let mut keys: Vec<u16> = (0..8).collect();
                let entries = (0..self.below(7))
                    .map(|_| (keys.swap_remove(self.below(keys.len())), self.holes(template, depth)))
                    .collect();
                Doc::List(template, entries)
            }
        }
    }

    fn text(&mut self) -> Doc {
        Doc::Text(["", "a", "<b> & \"c\" \\ \n", "é", "another"][self.below(5)].to_owned())
    }

    fn node(&mut self, depth: usize) -> Doc {
        let template = self.below(TEMPLATES.len());
        Doc::Node(template, self.holes(template, depth))
    }

    fn holes(&mut self, template: usize, depth: usize) -> Vec<Doc> {
        (0..TEMPLATES[template].holes()).map(|_| self.doc(depth.saturating_sub(1))).collect()
    }

    /// Changes a part of it, or the whole.
    fn change(&mut self, doc: &mut Doc, depth: usize) {
        if self.below(6) == 0 {
            *doc = self.doc(depth);
            return;
        }
        match doc {
            Doc::Empty | Doc::Text(_) => *doc = self.text(),
            Doc::Node(_, docs) => self.change_one(docs, depth),
            Doc::List(template, entries) => {
                for _ in 0..=self.below(3) {
                    self.change_list(*template, entries, depth);
                }
            }
        }
    }

    fn change_one(&mut self, docs: &mut [Doc], depth: usize) {
        if !docs.is_empty() {
            let index = self.below(docs.len());
            self.change(&mut docs[index], depth.saturating_sub(1));
        }
    }

    fn change_list(&mut self, template: usize, entries: &mut Vec<(u16, Vec<Doc>)>, depth: usize) {
        match self.below(6) {
            0 => {
                let key = (0..).find(|key| entries.iter().all(|(other, _)| other != key)).unwrap();
                let at = self.below(entries.len() + 1);
                entries.insert(at, (key, self.holes(template, depth)));
            }
            1 => entries.reverse(),
            2 => entries.clear(),
            _ if entries.is_empty() => {}
            3 => {
                entries.remove(self.below(entries.len()));
            }
            4 => {
                let (a, b) = (self.below(entries.len()), self.below(entries.len()));
                entries.swap(a, b);
            }
            _ => {
                let index = self.below(entries.len());
                self.change_one(&mut entries[index].1, depth);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_client_shows_the_page_of_now(seed: u64, steps in 1_usize..12) {
        let mut dice = Dice(seed);
        let mut doc = dice.node(3);
        let (mut tree, mut client) = (Tree::new(), Client::default());
        for _ in 0..steps {
            let message = tree.diff(&doc).unwrap();
            client.receive(&message);
            prop_assert_eq!(client.page(), Tree::page(&doc));
            prop_assert_eq!(tree.diff(&doc).unwrap(), b"{}", "told twice");
            let Doc::Node(template, docs) = &mut doc else { unreachable!() };
            if dice.below(12) == 0 {
                *template = dice.below(TEMPLATES.len());
                *docs = dice.holes(*template, 3);
            } else {
                dice.change_one(docs, 3);
            }
        }
    }
}
