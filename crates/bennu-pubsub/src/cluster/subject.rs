//! Where packets go: a bounded number of subjects, whatever the number of topics.

/// A channel of the engine between the nodes. There are [`ClusterOptions::buckets`](crate::ClusterOptions::buckets) for topics,
/// one for all nodes, and one for each node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// The topics whose hash leads here.
    Bucket(u16),
    /// What all nodes hear: how far each of them is.
    Everyone,
    /// What is sent to one node directly; a hash of its name.
    Node(u64),
}

impl Subject {
    pub(crate) fn of_topic(topic: &str, buckets: u16) -> Self {
        // The remainder is below `buckets`, so the cast keeps the value.
        Subject::Bucket((stable_hash(topic.as_bytes()) % u64::from(buckets)) as u16)
    }

    pub(crate) fn of_node(name: &str) -> Self {
        Subject::Node(stable_hash(name.as_bytes()))
    }

    /// As text, behind the cluster's namespace.
    pub(crate) fn name(self, namespace: &str, separator: char) -> String {
        match self {
            Subject::Bucket(bucket) => format!("bennu{separator}{namespace}{separator}b{bucket}"),
            Subject::Everyone => format!("bennu{separator}{namespace}{separator}all"),
            Subject::Node(hash) => format!("bennu{separator}{namespace}{separator}n{hash:016x}"),
        }
    }

    /// The reverse of [`name`](Self::name).
    pub(crate) fn parse(name: &str, namespace: &str, separator: char) -> Option<Self> {
        let rest = name.strip_prefix("bennu")?.strip_prefix(separator)?;
        let rest = rest.strip_prefix(namespace)?.strip_prefix(separator)?;
        match rest.split_at_checked(1)? {
            ("b", bucket) => bucket.parse().ok().map(Subject::Bucket),
            ("n", hash) => u64::from_str_radix(hash, 16).ok().map(Subject::Node),
            _ if rest == "all" => Some(Subject::Everyone),
            _ => None,
        }
    }
}

/// FNV-1a with 64 bits, then the finalizer of SplitMix64, whose low bits depend on all of the input's: the same on every node
/// and in every version.
fn stable_hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subject_is_found_again_by_its_name() {
        for subject in [Subject::Bucket(0), Subject::Bucket(1_023), Subject::Everyone, Subject::of_node("a")]
        {
            for separator in ['.', '/', ':'] {
                let name = subject.name("prod", separator);
                assert_eq!(Subject::parse(&name, "prod", separator), Some(subject), "{name}");
                assert_eq!(Subject::parse(&name, "other", separator), None);
            }
        }
        for stranger in
            ["", "bennu", "bennu.prod.", "bennu.prod.b", "bennu.prod.b70000", "bennu.prod.x", "bennu.prod.é"]
        {
            assert_eq!(Subject::parse(stranger, "prod", '.'), None, "{stranger}");
        }
    }

    #[test]
    fn the_hash_never_changes_and_spreads() {
        // Nodes of all versions must agree on these.
        assert_eq!(Subject::of_topic("room:1", 1_024), Subject::Bucket(721));
        let mut hits = [0_u32; 64];
        for room in 0..6_400 {
            if let Subject::Bucket(bucket) = Subject::of_topic(&format!("room:{room}"), 64) {
                hits[usize::from(bucket)] += 1;
            }
        }
        assert!(hits.iter().all(|hits| (50..200).contains(hits)), "{hits:?}");
    }
}
