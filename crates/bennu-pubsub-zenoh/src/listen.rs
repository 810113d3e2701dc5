//! Where a node listens when the same list is given to all.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs, UdpSocket};

/// Where to listen, and whom to connect to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) listen: String,
    pub(crate) connect: Vec<String>,
}

impl Places {
    /// Takes the first address of the list that is this machine's and free. It looks up names, so it may wait.
    ///
    /// Between this look and the engine's own listening another process may take the address; then the session does not open,
    /// and the next attempt finds it taken.
    pub(crate) fn choose(list: &[String], listen: Option<&str>) -> io::Result<Self> {
        let own = match listen {
            Some(address) => Some(address.to_owned()),
            None => list.iter().find(|address| TcpListener::bind(address.as_str()).is_ok()).cloned(),
        };
        let connect = list.iter().filter(|address| own.as_ref() != Some(*address)).cloned().collect();
        match own {
            Some(listen) => Ok(Self { listen, connect }),
            None => Ok(Self { listen: SocketAddr::new(facing(list)?, 0).to_string(), connect }),
        }
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
        assert_eq!(next, Places { listen: "127.0.0.1:0".into(), connect: addresses.clone() });
        drop(first);
        let first = Places::choose(&addresses, None).unwrap();
        assert_eq!(first, Places { listen: address, connect: vec![] });
    }

    #[test]
    fn an_address_of_another_machine_is_connected_to() {
        // An address for documentation, which no machine has.
        let addresses = list(&["203.0.113.1:7447", "127.0.0.1:0"]);
        let places = Places::choose(&addresses, None).unwrap();
        assert_eq!(places, Places { listen: "127.0.0.1:0".into(), connect: list(&["203.0.113.1:7447"]) });
    }

    #[test]
    fn a_given_address_is_taken_as_it_is() {
        let addresses = list(&["203.0.113.1:7447"]);
        let places = Places::choose(&addresses, Some("127.0.0.1:7447")).unwrap();
        assert_eq!(places, Places { listen: "127.0.0.1:7447".into(), connect: addresses });
    }
}
