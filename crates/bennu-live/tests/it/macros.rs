//! `html!`: what it renders, and what it leaves alone.

use bennu_live::html;
use bennu_live::rendered::{Assign, Slot, Tree, View};
use serde_json::{Value, json};

use crate::client::Client;

struct Item {
    id: u32,
    name: &'static str,
}

#[derive(Default)]
struct Page {
    title: Assign<String>,
    count: Assign<u32>,
    plain: u32,
    user: Assign<Option<String>>,
    items: Assign<Vec<Item>>,
    /// How often holes were rendered that are made of nothing known.
    link: String,
}

struct Badge<C> {
    label: &'static str,
    children: C,
}

impl<C: View> View for Badge<C> {
    fn render(&self, slot: Slot<'_>) {
        html! { <em class="badge">{self.label}{&self.children}</em> }.render(slot);
    }
}

impl Page {
    fn view(&self) -> impl View {
        html! {
            <h1 title={self.title.as_str()}>Hello, {&self.title}!</h1>
            <p hidden={*self.count == 0} class="a b">{*self.count} of <b>{self.plain}</b></p>
            {if let Some(user) = &*self.user {
                <i>{user}</i>
            } else if *self.count > 1 {
                "many & more"
            }}
            {match *self.count {
                0 => {}
                1 => { <u>"one"</u> }
                n if n > 5 => { <u>"over " {n}</u> }
                _ => { "some" }
            }}
            <ul>{for item in self.items.iter() { <li key={item.id}>{item.id}: {item.name}</li> }}</ul>
            <Badge label="new">"x" {*self.count}</Badge>
            <a href={&self.link}>link</a>
            <br/>
            <my-element data-x=1 disabled/>
        }
    }
}

fn page() -> Page {
    Page {
        title: "<Ada>".to_owned().into(),
        items: vec![Item { id: 1, name: "x" }, Item { id: 2, name: "y" }].into(),
        link: "/a?b=1&c".to_owned(),
        ..Page::default()
    }
}

fn diff(tree: &mut Tree, page: &mut Page) -> Value {
    let message = tree.diff(&page.view()).unwrap();
    Assign::rendered(&mut page.title);
    Assign::rendered(&mut page.count);
    Assign::rendered(&mut page.user);
    Assign::rendered(&mut page.items);
    serde_json::from_slice(&message).unwrap()
}

#[test]
fn a_page_is_the_html_that_was_written() {
    assert_eq!(
        Tree::page(&page().view()),
        "<h1 title=\"&lt;Ada&gt;\">Hello, &lt;Ada&gt;!</h1>\n<p class=\"a b\" hidden>0 of <b>0</b></p>\n\n\n\
        <ul><li>1: x</li><li>2: y</li></ul>\n<em class=\"badge\">newx 0</em>\n<a href=\"/a?b=1&amp;c\">link</a>\n\
        <br>\n<my-element data-x=\"1\" disabled></my-element>"
            .replace("<p class=\"a b\" hidden>", "<p hidden class=\"a b\">")
    );
}

#[test]
fn only_what_changed_is_told() {
    let (mut tree, mut page) = (Tree::new(), page());
    diff(&mut tree, &mut page);
    assert_eq!(diff(&mut tree, &mut page), json!({}));
    *page.count = 1;
    assert_eq!(
        diff(&mut tree, &mut page),
        json!({"2": "", "3": "1", "6": {"s": 0, "r": 1}, "8": {"1": {"0": "1"}}, "p": {"0": ["<u>one</u>"]}})
    );
    page.plain = 7;
    assert_eq!(diff(&mut tree, &mut page), json!({"4": "7"}));
    page.items.push(Item { id: 3, name: "z" });
    assert_eq!(diff(&mut tree, &mut page), json!({"7": {"k": {"2": {"0": "3", "1": "z"}, "kc": 3}}}));
    page.items[0].name = "X";
    assert_eq!(diff(&mut tree, &mut page), json!({"7": {"k": {"0": {"1": "X"}, "kc": 3}}}));
    page.title.set("<Ada>".to_owned());
    assert_eq!(diff(&mut tree, &mut page), json!({}));
}

#[test]
fn the_client_follows_and_the_gate_hides_nothing() {
    let (mut tree, mut page, mut client) = (Tree::new().proving(), page(), Client::default());
    let steps: [fn(&mut Page); 9] = [
        |_| {},
        |page| *page.count = 1,
        |page| *page.count = 6,
        |page| *page.user = Some("u".to_owned()),
        |page| page.items.reverse(),
        |page| page.plain = 3,
        |page| *page.user = None,
        |page| page.items.clear(),
        |page| page.link = "java\tscript:alert(1)".to_owned(),
    ];
    for step in steps {
        step(&mut page);
        client.receive(diff(&mut tree, &mut page).to_string().as_bytes());
        assert_eq!(client.page(), Tree::page(&page.view()));
    }
    assert!(client.page().contains("<a href=\"#blocked\">"));
}
