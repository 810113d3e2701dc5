//! How much can be tracked.

use bennu_presence::{Owner, Presence, PresenceLimits, TrackError, UpdateError};
use bennu_pubsub::PubSub;
use serde_json::json;

#[tokio::test]
async fn what_is_too_much_is_refused_and_changes_nothing() {
    let limits = PresenceLimits::default().max_meta_bytes(10).max_metas(2).max_keys(3);
    let presence = Presence::builder(PubSub::local()).limits(limits).build();
    let mut owners: Vec<Owner> = (0..4).map(|_| presence.owner()).collect();
    for owner in &mut owners[..2] {
        owner.track("t", "a", json!({})).unwrap();
    }
    assert_eq!(owners[2].track("t", "a", json!({})), Err(TrackError::TooManyMetas(2)));
    owners[2].track("t", "b", json!({"n": 1234})).unwrap();
    let too_large = owners[2].track("t", "c", json!({"n": 12345}));
    assert_eq!(too_large, Err(TrackError::MetaTooLarge { size: 11, limit: 10 }));
    let too_large = owners[2].update("t", "b", json!({"n": 12345}));
    assert_eq!(too_large, Err(UpdateError::MetaTooLarge { size: 11, limit: 10 }));
    owners[2].track("t", "c", json!({})).unwrap();
    assert_eq!(owners[3].track("t", "d", json!({})), Err(TrackError::TooManyKeys(3)));
    owners[3].track("t", "c", json!({})).unwrap();
    owners[3].track("another topic", "d", json!({})).unwrap();
    assert_eq!(presence.count("t"), 3);
    assert_eq!(presence.get_by_key("t", "b").await.unwrap().metas[0]["n"], 1234);
}

#[test]
fn a_phx_ref_is_of_presence_alone() {
    let presence = Presence::new(PubSub::local());
    let mut owner = presence.owner();
    let reference = owner.track("t", "a", json!({"phx_ref": "mine", "phx_ref_prev": "mine too"})).unwrap();
    owner
        .update_with("t", "a", |old| {
            assert_eq!((old["phx_ref"].as_str(), old.get("phx_ref_prev")), (Some(&*reference), None));
            old.clone()
        })
        .unwrap();
}
