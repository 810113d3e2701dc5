//! Three NATS servers with routes between them, each node at another one.

use bennu_engines::Servers;
use bennu_pubsub::{PubSub, Subscription};

use crate::nodes::{account, next, node_at, up};

/// How many messages are sent around each fault.
const MESSAGES: u32 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_server_is_killed_goes_to_another_of_its_list_and_all_is_accounted_for() {
    let servers = Servers::nats_cluster().await.unwrap();
    let links = ["a", "b", "c"].map(|name| servers.link(name));
    let list = links.map(|link| link.address().to_string()).join(",");
    let moving = node_at("moving", &format!("nats://{list}"));
    up(&moving).await;
    // It begins with any of them; the others are at the other two.
    let first = links.iter().position(|link| link.accepted() > 0).unwrap();
    let [second, third] = [1, 2].map(|step| &servers[(first + step) % 3]);
    let (a, b) = (node_at("a", &second.url()), node_at("b", &third.url()));
    up(&a).await;
    up(&b).await;

    let (mut there, mut at_moving) = (b.subscribe("room"), moving.subscribe("room"));
    b.settle("room").await;
    moving.settle("room").await;
    cross(&a, "room", [&mut there, &mut at_moving]).await;
    for number in 0..MESSAGES {
        a.broadcast("room", number);
        a.flush().await;
        if number == MESSAGES / 2 {
            servers[first].kill();
        }
    }
    assert_eq!(account(&mut there, 0, MESSAGES).await, 0, "other nodes notice nothing");
    account(&mut at_moving, 0, MESSAGES).await;
    cross(&a, "room", [&mut there, &mut at_moving]).await;
    assert!(links.iter().enumerate().any(|(server, link)| server != first && link.accepted() > 0));
}

/// Returns when what `a` says arrives at all of them: a server confirms a subscription before the other servers know of it.
async fn cross(a: &PubSub, topic: &str, mut subscriptions: [&mut Subscription; 2]) {
    let mut arrived = false;
    for mark in MESSAGES.. {
        if arrived {
            return;
        }
        a.broadcast(topic, mark);
        arrived = true;
        for subscription in &mut subscriptions {
            arrived &= loop {
                match next(subscription).await {
                    Ok(number) if number == mark => break true,
                    Ok(_) => {}
                    Err(_) => break false,
                }
            };
        }
    }
}
