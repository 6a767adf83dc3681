//! How many connections each address has, so that one client cannot take them all.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use parking_lot::Mutex;

/// Open connections by the address that they come from.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    limit: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection's place; dropping it gives the place back.
#[derive(Debug)]
pub(super) struct Place {
    addresses: Addresses,
    network: IpAddr,
}

impl Addresses {
    /// At most `limit` connections for each.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, open: Arc::default() }
    }

    /// A place for one more connection of this address, if it has not too many.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let network = network(address);
        let mut open = self.open.lock();
        let count = open.entry(network).or_insert(0);
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Place { addresses: self.clone(), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock();
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

/// What one client has of addresses: with IPv6 it usually chooses the lower half itself.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_its_share_and_gives_it_back() {
        let addresses = Addresses::new(2);
        let take = |text: &str| addresses.take(text.parse().unwrap());
        let held = (take("192.0.2.1"), take("::ffff:192.0.2.1"));
        assert!(held.0.is_some() && held.1.is_some() && take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        drop(held.0);
        assert!(take("192.0.2.1").is_some());
        let held = (take("2001:db8::1"), take("2001:db8::2"));
        assert!(held.0.is_some() && held.1.is_some() && take("2001:db8::3").is_none());
    }

    #[test]
    fn nothing_is_kept_of_addresses_that_have_left() {
        let addresses = Addresses::new(1);
        for last in 0..=255 {
            drop(addresses.take(IpAddr::from([192, 0, 2, last])));
        }
        assert!(addresses.open.lock().is_empty());
    }
}
