//! The headlines beside those with a client that delays its acknowledgements.

use super::headline::{HEADLINES, significant};
use super::tables::{NONE, header, row, text};
use super::trials::Trials;

/// Each server's name, and its name in runs of such a client.
const PAIRS: [(&str, &str); 2] = [("bennu", "bun"), ("bennu-acks", "bun-acks")];

/// Bennu beside Bun, with either client.
pub(crate) fn table(trials: &Trials) -> String {
    let mut table =
        header(["", "bennu", "Bun", "times Bun", "bennu, delayed", "Bun, delayed", "times Bun, delayed"]);
    for line in HEADLINES.iter().filter(|line| trials.count(PAIRS[1].0, line.load, line.figures) > 0) {
        let cells = PAIRS.map(|(ours, theirs)| {
            let [ours_took, theirs_took] =
                [ours, theirs].map(|server| text(line.unit, trials.median(server, line.load, line.figures)));
            let ratio = trials.ratio(ours, theirs, line.load, line.figures);
            [ours_took, theirs_took, ratio.map_or_else(|| NONE.to_owned(), |ratio| significant(ratio.value))]
        });
        row(&mut table, [line.name].into_iter().chain(cells.iter().flatten().map(String::as_str)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::tables::tests::{echo, line_of};
    use super::super::trials::tests::trials;
    use super::*;

    #[test]
    fn both_clients_stand_side_by_side() {
        let measured = [("bennu", 6.0), ("bun", 5.0), ("bennu-acks", 6.6), ("bun-acks", 6.0)];
        let table = table(&trials(measured.map(|(server, took)| echo(server, 1, took))));
        let line = line_of(&table, "echo through a channel");
        assert_eq!(line, "| echo through a channel | 6.00 µs | 5.00 µs | 1.20 | 6.60 µs | 6.00 µs | 1.10 |");
        assert!(!table.contains("64 outstanding"), "what was not measured is left out: {table}");
    }
}
