//! What the protocols take on the wire, and what their bytes cost.

use super::headline::{ECHO, HEADLINES, ONE_AT_A_TIME, Unit, significant};
use super::tables::{NONE, Other, by_server, header, row, text};
use super::trials::Trials;

/// Bun with messages as long as the frames of Phoenix.
const PADDED: &str = "bun-padded";

const FRAMES: &[Other] = &[
    ("a delivery", ONE_AT_A_TIME, "received_per_delivery_bytes", Unit::Bytes),
    ("an echo, to the server", ECHO, "sent_per_echo_bytes", Unit::Bytes),
    ("an echo, from the server", ECHO, "received_per_echo_bytes", Unit::Bytes),
];

/// The bytes of the frames of all servers.
pub(crate) fn frames(trials: &Trials) -> String {
    by_server(trials, FRAMES)
}

/// Bennu beside Bun, and beside Bun with frames of the same size.
pub(crate) fn padded(trials: &Trials) -> String {
    let mut table =
        header(["", "bennu", "Bun", "Bun, padded", "bennu, times Bun", "bennu, times Bun padded"]);
    let servers = ["bennu", "bun", PADDED];
    for (name, load, figure, unit) in FRAMES {
        let cells = servers.map(|server| text(*unit, trials.median(server, *load, &[*figure])));
        row(&mut table, [*name, &cells[0], &cells[1], &cells[2], NONE, NONE]);
    }
    for line in HEADLINES.iter().filter(|line| trials.count(PADDED, line.load, line.figures) > 0) {
        let cells = servers.map(|server| text(line.unit, trials.median(server, line.load, line.figures)));
        let times = [servers[1], servers[2]].map(|other| {
            let ratio = trials.ratio("bennu", other, line.load, line.figures);
            ratio.map_or_else(|| NONE.to_owned(), |ratio| significant(ratio.value))
        });
        row(&mut table, [line.name].into_iter().chain(cells.iter().chain(&times).map(String::as_str)));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::tables::tests::{echo, line_of};
    use super::super::trials::tests::trials;
    use super::*;

    #[test]
    fn the_padded_peer_stands_beside_the_plain_one() {
        let trials = trials([echo("bennu", 1, 6.0), echo("bun", 1, 5.0), echo(PADDED, 1, 8.0)]);
        let table = padded(&trials);
        let line = line_of(&table, "echo through a channel");
        assert_eq!(line, "| echo through a channel | 6.00 µs | 5.00 µs | 8.00 µs | 1.20 | 0.750 |");
        assert!(!table.contains("64 outstanding"), "what was not measured is left out: {table}");
    }
}
