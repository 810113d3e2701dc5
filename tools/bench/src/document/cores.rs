//! What a second core of the server changes.

use super::headline::{HEADLINES, significant};
use super::tables::{NONE, header, row, text};
use super::trials::Trials;

/// Each server on a core of its own, and on both cores, with the client on the same ones.
const PAIRS: &[(&str, &str)] = &[("bennu", "bennu-2-cores"), ("bun", "bun-2-cores")];

/// The headlines that were measured so.
pub(crate) fn table(trials: &Trials) -> String {
    let mut table = header([
        "",
        "bennu, one core, one shard",
        "bennu, two cores, two shards",
        "times",
        "Bun, one core",
        "Bun, two cores",
        "times",
    ]);
    let was_measured =
        |server, line: &super::headline::Headline| trials.count(server, line.load, line.figures) > 0;
    for line in HEADLINES.iter().filter(|line| PAIRS.iter().any(|(_, two)| was_measured(two, line))) {
        let mut cells = vec![line.name.to_owned()];
        for (one, two) in PAIRS {
            let ratio = trials.ratio(two, one, line.load, line.figures);
            cells.extend(
                [one, two].map(|server| text(line.unit, trials.median(server, line.load, line.figures))),
            );
            cells.push(ratio.map_or_else(|| NONE.to_owned(), |ratio| significant(ratio.value)));
        }
        row(&mut table, cells.iter().map(String::as_str));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::tables::tests::{echo, line_of};
    use super::super::trials::tests::trials;
    use super::*;

    #[test]
    fn one_core_stands_beside_two() {
        let trials = trials([echo("bennu", 1, 6.0), echo("bennu-2-cores", 1, 9.0), echo("bun", 1, 5.0)]);
        let table = table(&trials);
        let line = line_of(&table, "echo through a channel");
        assert_eq!(line, "| echo through a channel | 6.00 µs | 9.00 µs | 1.50 | 5.00 µs | – | – |");
        assert_eq!(table.lines().count(), 3, "{table}");
    }
}
