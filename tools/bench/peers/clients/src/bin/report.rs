//! Makes the table of the results that are given, one line of JSON each: the median of each client's runs.

use std::collections::BTreeMap;
use std::io::stdin;

use bennu_bench_clients::Result;

fn main() -> anyhow::Result<()> {
    let mut clients: BTreeMap<String, Vec<Result>> = BTreeMap::new();
    for line in stdin().lines() {
        let result: Result = serde_json::from_str(&line?)?;
        clients.entry(result.client.clone()).or_default().push(result);
    }
    println!("| client | runs | sockets | KB per socket | µs of CPU per echo | echoes per second |");
    println!("| --- | ---: | ---: | ---: | ---: | ---: |");
    for (name, results) in &clients {
        let median = |figure: fn(&Result) -> f64| {
            let mut figures = Vec::from_iter(results.iter().map(figure));
            figures.sort_by(f64::total_cmp);
            figures[figures.len() / 2]
        };
        println!(
            "| {name} | {} | {} | {:.1} | {:.1} | {:.0} |",
            results.len(),
            results[0].sockets,
            median(|result| result.bytes_per_socket) / 1024.0,
            median(|result| result.cpu_per_echo),
            median(|result| result.echoes_per_second),
        );
    }
    Ok(())
}
