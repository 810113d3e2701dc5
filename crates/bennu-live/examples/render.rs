//! What rendering costs: `cargo run --release -p bennu-live --example render`.
use std::hint::black_box;
use std::time::Instant;

use bennu_live::html;
use bennu_live::rendered::{Assign, Tree, View};

struct Row { id: u32, name: String, n: u32 }
struct Table { rows: Assign<Vec<Row>> }
impl Table {
    fn view(&self) -> impl View {
        html! { <table>{for row in self.rows.iter() { <tr key={row.id}><td>{row.id}</td><td>{&row.name}</td><td>{row.n}</td></tr> }}</table> }
    }
}
struct Fifty { f: [u32; 50] }
macro_rules! holes { ($s:ident $($i:literal)*) => { html! { <p>$({$s.f[$i]}" ")*</p> } } }
impl Fifty {
    fn view(&self) -> impl View {
        holes!(self 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49)
    }
}
fn time(name: &str, n: u32, mut work: impl FnMut(u32)) {
    let start = Instant::now();
    (0..n).for_each(&mut work);
    println!("{name}: {:.1} µs", start.elapsed().as_secs_f64() * 1e6 / f64::from(n));
}
fn main() {
    let mut table = Table { rows: (0..1000).map(|id| Row { id, name: format!("row number {id}"), n: id * 7 }).collect::<Vec<_>>().into() };
    let mut tree = Tree::new();
    tree.diff(&table.view()).unwrap();
    println!("tree of 1000 rows: {} B", tree.size());
    time("1000 rows, one changed", 2000, |i| { table.rows[500].n = i; black_box(tree.diff(&table.view()).unwrap()); });
    time("1000 rows, one moved", 2000, |_| { let row = table.rows.remove(0); table.rows.push(row); black_box(tree.diff(&table.view()).unwrap()); });
    time("join of 1000 rows", 500, |_| { black_box(Tree::new().diff(&table.view()).unwrap()); });
    time("page of 1000 rows", 500, |_| { black_box(Tree::page(&table.view())); });
    let mut fifty = Fifty { f: [12345; 50] };
    let mut tree = Tree::new();
    tree.diff(&fifty.view()).unwrap();
    println!("tree of 50 holes: {} B", tree.size());
    time("50 holes, one changed", 20000, |i| { fifty.f[20] = i; black_box(tree.diff(&fifty.view()).unwrap()); });
}
