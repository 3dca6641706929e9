//! IP addresses as text, and as numbers that an `f64` holds exactly.

use std::fmt;
use std::net::IpAddr;

/// The width of the folded groups of an IPv6 address: below the 53 bits that an `f64` holds exactly.
const GROUP_BITS: u32 = 52;

/// An address of an IP allocation, or the network of a CIDR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address {
    address: IpAddr,
    prefix: Option<u8>,
}

impl Address {
    /// The address with an optional prefix length; `None` if the prefix is too long. An IPv4-mapped IPv6 address becomes the IPv4
    /// address, whose prefix is 96 bits shorter.
    #[must_use]
    pub fn new(address: IpAddr, prefix: Option<u8>) -> Option<Self> {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix.is_some_and(|bits| bits > longest) {
            return None;
        }
        let canonical = address.to_canonical();
        let prefix = if canonical == address {
            prefix
        } else {
            prefix.and_then(|bits| bits.checked_sub(96))
        };
        Some(Self {
            address: canonical,
            prefix,
        })
    }

    /// Parses an address or a CIDR; `None` if the text is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let Some((address, prefix)) = text.split_once('/') else {
            return Self::new(text.parse().ok()?, None);
        };
        // The standard library accepts a sign.
        let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|_| digits)?;
        Self::new(address.parse().ok()?, Some(prefix))
    }

    /// The address without the prefix length.
    #[must_use]
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The prefix length of a CIDR.
    #[must_use]
    pub fn prefix(self) -> Option<u8> {
        self.prefix
    }

    /// The address as a number, without the prefix length.
    ///
    /// IPv4: the 32-bit integer. IPv6: the XOR of the 128-bit integer's 52-bit groups from the low end (bits 0–51, 52–103,
    /// 104–127), so that a change of any bit changes the number, also in the prefix.
    #[must_use]
    pub fn numeric(self) -> f64 {
        match self.address {
            IpAddr::V4(address) => f64::from(address.to_bits()),
            IpAddr::V6(address) => fold(address.to_bits()),
        }
    }
}

impl fmt::Display for Address {
    /// The usual notation: `192.0.2.1`, `2001:db8:1::/64`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.address)?;
        match self.prefix {
            Some(prefix) => write!(formatter, "/{prefix}"),
            None => Ok(()),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the folded number has 52 bits, which an f64 holds exactly"
)]
fn fold(bits: u128) -> f64 {
    let mask = (1_u128 << GROUP_BITS) - 1;
    let folded = (bits & mask) ^ ((bits >> GROUP_BITS) & mask) ^ (bits >> (2 * GROUP_BITS));
    folded as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_cidrs_are_converted_to_numbers() {
        for (text, expected) in [
            ("192.0.2.1", Some(3_221_225_985.0)),
            ("192.0.2.1/24", Some(3_221_225_985.0)),
            ("0.0.0.0", Some(0.0)),
            ("255.255.255.255/32", Some(4_294_967_295.0)),
            ("2001:db8:1::/64", Some(3_236_962_502_705_421.0)),
            ("::", Some(0.0)),
            ("::1/128", Some(1.0)),
            ("192.0.2.1/33", None),
            ("::ffff:192.0.2.1/129", None),
            ("192.0.2.1/", None),
            ("192.0.2.1/+4", None),
            ("192.0.2.1/a", None),
            ("192.0.2.1/24/24", None),
            ("2001:db8::/129", None),
            ("192.0.2", None),
            ("192.0.2.1 ", None),
            ("", None),
            ("example.org", None),
        ] {
            let address = Address::parse(text);
            assert_eq!(address.map(Address::numeric), expected, "{text:?}");
            if let Some(address) = address {
                assert_eq!(address.to_string(), text);
            }
        }
    }

    #[test]
    fn ipv4_mapped_addresses_become_ipv4_addresses() {
        for (text, expected) in [
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:c000:201/128", "192.0.2.1/32"),
            ("::ffff:192.0.2.1/120", "192.0.2.1/24"),
            ("::ffff:192.0.2.1/64", "192.0.2.1"),
            ("::192.0.2.1", "::c000:201"),
        ] {
            let address = Address::parse(text).map(|address| address.to_string());
            assert_eq!(address.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn every_bit_of_an_ipv6_address_changes_the_number() {
        let base = u128::from_str_radix("20010db8000100000000000000000000", 16).unwrap();
        for bit in 0..128 {
            assert_ne!(fold(base), fold(base ^ (1 << bit)), "bit {bit}");
        }
    }
}
