//! The messages of the specification's worked examples.

use bennu_live::html;
use bennu_live::rendered::{Holes, Insert, RenderError, Stream, Template, Tree, View, rendered};
use serde_json::{Value, json};

static PAGE: Template = Template {
    statics: &["<h1>", "</h1>", "<ul>", "</ul>"],
    json: r#"["<h1>","</h1>","<ul>","</ul>"]"#,
    fingerprint: 1,
    is_element: false,
};
static SHOWN: Template =
    Template { statics: &["<b>", "</b>"], json: r#"["<b>","</b>"]"#, fingerprint: 2, is_element: true };
static ITEM: Template =
    Template { statics: &["<li>", "</li>"], json: r#"["<li>","</li>"]"#, fingerprint: 3, is_element: true };

/// The page of section 5.7.
#[derive(Default)]
struct Page {
    title: &'static str,
    on: bool,
    n: u32,
    items: Vec<(u32, &'static str)>,
}

impl Page {
    fn view(&self) -> impl View {
        rendered(&PAGE, |holes: &mut Holes<'_>| {
            holes.hole(true, |slot| slot.text(self.title));
            holes.hole(true, |slot| match self.on {
                true => slot.node(&SHOWN, |holes| holes.hole(true, |slot| slot.text(self.n))),
                false => slot.empty(),
            });
            holes.hole(true, |slot| {
                slot.list(&ITEM, &self.items, |(id, name), entry| {
                    entry.fill(id, |holes| holes.hole(true, |slot| slot.text(name)));
                });
            });
        })
    }
}

fn diff(tree: &mut Tree, page: &Page) -> Value {
    serde_json::from_slice(&tree.diff(&page.view()).unwrap()).unwrap()
}

#[test]
fn messages_are_those_of_the_worked_examples() {
    let mut page = Page { title: "A", items: vec![(1, "x"), (2, "y")], ..Page::default() };
    let mut tree = Tree::new();
    assert_eq!(
        diff(&mut tree, &page),
        json!({"s": 0, "0": "A", "1": "", "2": {"s": 1, "k": {"0": {"0": "x"}, "1": {"0": "y"}, "kc": 2}},
            "p": {"0": ["<h1>", "</h1>", "<ul>", "</ul>"], "1": ["<li>", "</li>"]}})
    );
    (page.on, page.n) = (true, 5);
    assert_eq!(diff(&mut tree, &page), json!({"1": {"s": 0, "r": 1, "0": "5"}, "p": {"0": ["<b>", "</b>"]}}));
    page.n = 6;
    assert_eq!(diff(&mut tree, &page), json!({"1": {"0": "6"}}));
    page.on = false;
    assert_eq!(diff(&mut tree, &page), json!({"1": ""}));
    page.items.swap(0, 1);
    assert_eq!(diff(&mut tree, &page), json!({"2": {"k": {"0": 1, "1": 0, "kc": 2, "km": true}}}));
    page.items[0].1 = "Y";
    assert_eq!(diff(&mut tree, &page), json!({"2": {"k": {"0": {"0": "Y"}, "kc": 2}}}));
    page.items = vec![(1, "x"), (3, "z")];
    assert_eq!(diff(&mut tree, &page), json!({"2": {"k": {"0": 1, "1": {"0": "z"}, "kc": 2, "km": true}}}));
    page.items.clear();
    assert_eq!(diff(&mut tree, &page), json!({"2": {"k": {"kc": 0}}}));
    page.items = vec![(4, "w")];
    assert_eq!(diff(&mut tree, &page), json!({"2": {"k": {"0": {"0": "w"}, "kc": 1}}}));
    assert_eq!(diff(&mut tree, &page), json!({}));
}

#[test]
fn moved_and_changed_entries_are_told_with_both() {
    let items = |names: [(u32, &'static str); 4]| names.to_vec();
    let mut page = Page { items: vec![(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e")], ..Page::default() };
    let mut tree = Tree::new();
    diff(&mut tree, &page);
    page.items = items([(5, "e*"), (6, "x"), (1, "a"), (3, "c*")]);
    assert_eq!(
        diff(&mut tree, &page),
        json!({"2": {"k": {"0": [4, {"0": "e*"}], "1": {"0": "x"}, "2": 0, "3": [2, {"0": "c*"}], "kc": 4, "km": true}}})
    );
}

#[test]
fn a_list_that_was_empty_at_first_comes_with_its_statics() {
    let mut page = Page::default();
    let mut tree = Tree::new();
    assert_eq!(diff(&mut tree, &page)["2"], json!(""));
    page.items.push((1, "x"));
    assert_eq!(
        diff(&mut tree, &page),
        json!({"2": {"s": 0, "k": {"0": {"0": "x"}, "kc": 1}}, "p": {"0": ["<li>", "</li>"]}})
    );
}

#[test]
fn duplicate_keys_are_an_error_wherever_they_are() {
    for (before, now) in [
        (vec![], vec![(1, "a"), (1, "b")]),
        (vec![(1, "a"), (2, "b")], vec![(1, "a"), (2, "b"), (1, "c")]),
        (vec![(1, "a"), (2, "b")], vec![(2, "b"), (2, "b")]),
        (vec![(1, "a"), (2, "b")], vec![(1, "a"), (1, "a")]),
    ] {
        let mut tree = Tree::new();
        diff(&mut tree, &Page { items: before, ..Page::default() });
        let index = now.len() - 1;
        let error = tree.diff(&Page { items: now, ..Page::default() }.view()).unwrap_err();
        assert_eq!(error, RenderError::DuplicateKey { statics: ITEM.statics, index });
    }
}

#[test]
fn a_hole_whose_inputs_are_the_same_is_not_rendered() {
    let view = |changed: bool, text: &'static str| {
        rendered(&SHOWN, move |holes: &mut Holes<'_>| holes.hole(changed, |slot| slot.text(text)))
    };
    let mut tree = Tree::new();
    assert_eq!(tree.diff(&view(false, "a")).unwrap(), br#"{"s":0,"0":"a","p":{"0":["<b>","</b>"]}}"#);
    assert_eq!(tree.diff(&view(false, "b")).unwrap(), b"{}");
    assert_eq!(tree.diff(&view(true, "b")).unwrap(), br#"{"0":"b"}"#);
}

#[test]
#[should_panic(expected = "nothing that it is made of did")]
fn a_tree_that_proves_finds_a_hole_that_changed_unseen() {
    let view = |text: &'static str| {
        rendered(&SHOWN, move |holes: &mut Holes<'_>| holes.hole(false, |slot| slot.text(text)))
    };
    let mut tree = Tree::new().proving();
    tree.diff(&view("a")).unwrap();
    let _ = tree.diff(&view("b"));
}

#[test]
fn a_view_must_be_a_template() {
    assert_eq!(Tree::new().diff(&"text").unwrap_err(), RenderError::NoTemplate);
}

#[test]
fn a_stream_tells_what_becomes_of_its_items_and_forgets_them() {
    let mut items = Stream::new(|item: &(u32, &'static str)| format!("m-{}", item.0));
    let mut tree = Tree::new();
    let mut diff = |items: &mut Stream<(u32, &'static str)>| -> Value {
        let shown = &*items;
        let view = html! { <ul>{for (id, item) in shown { <li id={id}>{item.1}</li> }}</ul> };
        let message = tree.diff(&view).unwrap();
        items.rendered();
        serde_json::from_slice(&message).unwrap()
    };
    assert_eq!(
        diff(&mut items),
        json!({"s": 0, "0": {"s": 1, "k": {"kc": 0}, "stream": ["0", [], []]},
            "p": {"0": ["<ul>", "</ul>"], "1": ["<li", ">", "</li>"]}})
    );
    assert_eq!(diff(&mut items), json!({}));
    items.insert((3, "hi"), Insert::default().at(0));
    assert_eq!(
        diff(&mut items),
        json!({"0": {"k": {"0": {"0": " id=\"m-3\"", "1": "hi"}, "kc": 1}, "stream": ["0", [["m-3", 0, null, false]], []]}})
    );
    items.delete_by_id("m-2");
    assert_eq!(diff(&mut items), json!({"0": {"k": {"kc": 0}, "stream": ["0", [], ["m-2"]]}}));
    items.push((4, "a"));
    items.insert((4, "b"), Insert::default().limit(-2).update_only());
    items.push((5, "c"));
    items.delete(&(5, "c"));
    assert_eq!(
        diff(&mut items),
        json!({"0": {"k": {"0": {"0": " id=\"m-4\"", "1": "b"}, "kc": 1},
            "stream": ["0", [["m-4", -1, -2, true]], ["m-5"]]}})
    );
    items.reset([]);
    assert_eq!(diff(&mut items), json!({"0": {"k": {"kc": 0}, "stream": ["0", [], [], true]}}));
    assert_eq!(diff(&mut items), json!({}));
}
