//! TLS, both ways.

use std::fs;

use bennu_pubsub_zenoh::Zenoh;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::meeting::{free_address, meet, node, reason};

/// An authority with a certificate for a node, as parameters of a URL.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(["node".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
        for (name, text) in
            [("ca.pem", authority.pem()), ("node.pem", certificate.pem()), ("node.key", key.serialize_pem())]
        {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self(folder)
    }

    fn parameters(&self) -> String {
        let folder = self.0.path().display();
        format!("ca={folder}/ca.pem&cert={folder}/node.pem&key={folder}/node.key")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_one_authority_meet_and_no_others() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let address = free_address();
    let of = |parameters: &str| Zenoh::from_url(&format!("zenoh://{address}?{parameters}")).unwrap();
    let a = node("a", of(&ours.parameters()));
    let b = node("b", of(&ours.parameters()));
    meet(&[&a, &b]).await;
    let stranger = node("stranger", of(&theirs.parameters()));
    let nobody = node("nobody", of(""));
    // Both try to connect at once, before they say that they are open; c takes longer than that to meet the others.
    let c = node("c", of(&ours.parameters()));
    meet(&[&a, &b, &c]).await;
    assert_eq!((stranger.nodes().len(), nobody.nodes().len()), (0, 0));
    assert_eq!((a.nodes().len(), b.nodes().len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_there_is_told() {
    let url = format!("zenoh://{}?ca=/no/ca.pem&cert=/no/node.pem&key=/no/node.key", free_address());
    let node = node("a", Zenoh::from_url(&url).unwrap());
    let reason = reason(&node).await;
    assert!(reason.contains("/no/ca.pem cannot be used"), "{reason}");
}
