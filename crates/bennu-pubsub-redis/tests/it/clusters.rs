//! A Redis Cluster of three masters, each node at another one.

use bennu_engines::Servers;

use crate::account::{Account, Numbered};
use crate::nodes::{connected, down, up};

/// How many messages are sent around each fault.
const MESSAGES: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_is_killed_takes_its_own_nodes_along_and_no_others() {
    let servers = Servers::redis_cluster().await.unwrap();
    let (a, b) = (connected("a", &servers[0].url()).await, connected("b", &servers[1].url()).await);
    let doomed = connected("c", &servers[2].url()).await;
    let (mut there, mut at_doomed) = (b.subscribe("room"), doomed.subscribe("room"));
    b.settle("room").await;
    doomed.settle("room").await;
    // From then on the two know how far it is.
    a.broadcast("room", Numbered::new(0));
    for there in [&mut there, &mut at_doomed] {
        assert_eq!(Account::of(there, 1).await.numbers, [0]);
    }
    for number in 1..=MESSAGES {
        a.broadcast("room", Numbered::new(number));
        a.flush().await;
        if number == MESSAGES / 2 {
            servers[2].kill();
        }
    }
    assert_eq!(Account::of(&mut there, MESSAGES).await.missed, 0);
    down(&doomed, "").await;
    assert!(a.link().is_up() && b.link().is_up());

    servers[2].restart().await.unwrap();
    servers.whole().await.unwrap();
    up(&doomed).await;
    doomed.settle("room").await;
    for number in MESSAGES + 1..=2 * MESSAGES {
        a.broadcast("room", Numbered::new(number));
    }
    assert_eq!(Account::of(&mut there, MESSAGES).await.missed, 0);
    // What was sent while its server was away is counted.
    let all = Account::of(&mut at_doomed, 2 * MESSAGES).await;
    assert!(all.missed > 0 && all.numbers.ends_with(&Vec::from_iter(MESSAGES + 1..=2 * MESSAGES)), "{all:?}");
}
