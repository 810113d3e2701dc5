//! Where a node listens when the same list is given to all.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, TcpListener, ToSocketAddrs, UdpSocket};

/// Where to listen, and whom to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) listen: String,
    pub(crate) connect: Vec<String>,
    /// The listed addresses of this machine, when this node listens elsewhere because all were taken.
    pub(crate) taken: Vec<String>,
}

impl Places {
    /// Takes the first address of the list that is this machine's and free. It looks up names, so it may wait.
    ///
    /// Between this look and the engine's own listening another process may take the address; then the session does not open,
    /// and the next attempt finds it taken.
    pub(crate) fn choose(list: &[String], listen: Option<&str>) -> io::Result<Self> {
        let own = match listen {
            Some(address) => Some(address.to_owned()),
            None => list.iter().find(|address| is_held(address) == Some(false)).cloned(),
        };
        let connect = list.iter().filter(|address| own.as_ref() != Some(*address)).cloned().collect();
        if let Some(listen) = own {
            return Ok(Self { listen, connect, taken: Vec::new() });
        }
        // Its number is asked for, as it will be connected to.
        let free = TcpListener::bind((facing(list)?, 0))?.local_addr()?;
        let taken = list.iter().filter(|address| is_held(address) == Some(true)).cloned().collect();
        Ok(Self { listen: free.to_string(), connect, taken })
    }

    /// A listed address of this machine to listen at as well: whoever listened at one has gone.
    pub(crate) fn vacant(&self) -> Option<&String> {
        let held: Vec<_> = self.taken.iter().map(|address| is_held(address)).collect();
        let free = held.iter().position(|held| *held == Some(false))?;
        self.taken.get(free).filter(|_| !held.contains(&Some(true)))
    }
}

/// Whether somebody listens at an address of this machine; none when it is another's.
pub(crate) fn is_held(address: &str) -> Option<bool> {
    match TcpListener::bind(address) {
        Ok(_) => Some(false),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Some(true),
        Err(_) => None,
    }
}

/// The address of the interface that leads to the others: a port that is open there is open to nobody else's network. When
/// nobody is named, all of them.
fn facing(list: &[String]) -> io::Result<IpAddr> {
    let all = IpAddr::from([0, 0, 0, 0]);
    let Some(other) = list.first() else { return Ok(all) };
    let mut last = None;
    for other in other.to_socket_addrs()? {
        let any = if other.is_ipv4() { all } else { IpAddr::from([0; 16]) };
        // Nothing is sent: connecting a datagram socket asks the system for the way.
        let asked = UdpSocket::bind((any, 0)).and_then(|socket| {
            socket.connect(other)?;
            socket.local_addr()
        });
        match asked {
            Ok(address) => return Ok(address.ip()),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other(format!("{other} has no address"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(addresses: &[&str]) -> Vec<String> {
        addresses.iter().map(|&address| address.to_owned()).collect()
    }

    #[test]
    fn the_first_process_listens_and_the_next_connect() {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap().to_string();
        let addresses = list(&[&address]);
        let next = Places::choose(&addresses, None).unwrap();
        assert!(next.listen.starts_with("127.0.0.1:") && !next.listen.ends_with(":0"), "{}", next.listen);
        assert_eq!((&next.connect, &next.taken), (&addresses, &addresses));
        assert_eq!(next.vacant(), None);
        drop(first);
        assert_eq!(next.vacant(), Some(&address), "nobody listens there any more");
        let first = Places::choose(&addresses, None).unwrap();
        assert_eq!(first, Places { listen: address, connect: vec![], taken: vec![] });
    }

    #[test]
    fn one_of_a_machine_that_is_held_is_enough() {
        let held = [TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap()];
        let addresses = held.each_ref().map(|held| held.local_addr().unwrap().to_string());
        let places = Places::choose(&addresses, None).unwrap();
        let [first, second] = held;
        drop(first);
        assert_eq!(places.vacant(), None);
        drop(second);
        assert_eq!(places.vacant(), Some(&addresses[0]));
    }

    #[test]
    fn an_address_of_another_machine_is_connected_to() {
        // An address for documentation, which no machine has.
        let addresses = list(&["203.0.113.1:7447", "127.0.0.1:0"]);
        let places = Places::choose(&addresses, None).unwrap();
        let connect = list(&["203.0.113.1:7447"]);
        assert_eq!(places, Places { listen: "127.0.0.1:0".into(), connect, taken: vec![] });
        assert_eq!(places.vacant(), None);
    }

    #[test]
    fn a_given_address_is_taken_as_it_is() {
        let addresses = list(&["203.0.113.1:7447"]);
        let places = Places::choose(&addresses, Some("127.0.0.1:7447")).unwrap();
        let expected = Places { listen: "127.0.0.1:7447".into(), connect: addresses, taken: vec![] };
        assert_eq!(places, expected);
    }
}
