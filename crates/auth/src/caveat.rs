//! The caveat vocabulary (control.md, 3.2): `name=value` in one spelling each, and how several combine. An
//! unknown name or a bad value refuses the whole token (TOK-02), so a caveat is never silently ignored.

use std::{
    fmt,
    net::IpAddr,
    str::FromStr,
    sync::{Arc, LazyLock},
};

use ferry_types::{
    DatabaseId, Model, ModelSet, Op, OpSet,
    limits::{CAVEAT_MAX_BYTES, TOKEN_MAX_CAVEATS},
};

/// Longest table or function prefix, in bytes.
const PREFIX_MAX_BYTES: usize = 128;

/// One narrowing that anyone may append to a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caveat {
    /// Expires at this Unix second.
    Exp(i64),
    /// Not valid before this Unix second.
    Nbf(i64),
    /// Only these operations.
    Op(OpSet),
    /// Only these models.
    Model(ModelSet),
    /// Only this database.
    Db(DatabaseId),
    /// Only tables whose name begins so (records, ops).
    Tbl(String),
    /// Only functions whose name begins so (functions).
    Fn(String),
    /// Only from addresses inside, checked at connect.
    Ip(Cidr),
    /// At most this many bytes per UTC day.
    Bpd(u64),
}

impl Caveat {
    /// Whether it is about time and address alone, so that a session keeps all its RPCs (TOK-08).
    #[must_use]
    pub const fn keeps_all_rights(&self) -> bool {
        matches!(self, Self::Exp(_) | Self::Nbf(_) | Self::Ip(_))
    }
}

/// Why a text is no caveat: names the caveat and what it takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadCaveat(&'static str);

const UNKNOWN: BadCaveat =
    BadCaveat("caveat name must be exp, nbf, op, model, db, tbl, fn, ip or bpd, followed by =value");

impl FromStr for Caveat {
    type Err = BadCaveat;

    fn from_str(text: &str) -> Result<Self, BadCaveat> {
        if text.len() > CAVEAT_MAX_BYTES {
            return Err(BadCaveat("a caveat may have at most 512 bytes"));
        }
        let (name, value) = text.split_once('=').ok_or(UNKNOWN)?;
        match name {
            "exp" => {
                decimal(value).map(Self::Exp).ok_or(BadCaveat("exp must be Unix seconds in plain digits"))
            }
            "nbf" => {
                decimal(value).map(Self::Nbf).ok_or(BadCaveat("nbf must be Unix seconds in plain digits"))
            }
            "op" => list::<Op>(value)
                .map(|ops| Self::Op(ops.into_iter().collect()))
                .ok_or(BadCaveat("op must list read, write or admin once each, joined by commas")),
            "model" => {
                list::<Model>(value).map(|models| Self::Model(models.into_iter().collect())).ok_or(BadCaveat(
                    "model must list pages, events, records, ops or functions once each, joined by commas",
                ))
            }
            "db" => value.parse().map(Self::Db).map_err(|_| BadCaveat("db must be a database id")),
            "tbl" => prefix(value).map(Self::Tbl).ok_or(BadCaveat("tbl must be a prefix of 1 to 128 bytes")),
            "fn" => prefix(value).map(Self::Fn).ok_or(BadCaveat("fn must be a prefix of 1 to 128 bytes")),
            "ip" => value.parse().map(Self::Ip),
            "bpd" => decimal(value).map(Self::Bpd).ok_or(BadCaveat("bpd must be bytes in plain digits")),
            _ => Err(UNKNOWN),
        }
    }
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exp(at) => write!(f, "exp={at}"),
            Self::Nbf(at) => write!(f, "nbf={at}"),
            Self::Op(ops) => write!(f, "op={ops}"),
            Self::Model(models) => write!(f, "model={models}"),
            Self::Db(id) => write!(f, "db={id}"),
            Self::Tbl(prefix) => write!(f, "tbl={prefix}"),
            Self::Fn(prefix) => write!(f, "fn={prefix}"),
            Self::Ip(cidr) => write!(f, "ip={cidr}"),
            Self::Bpd(bytes) => write!(f, "bpd={bytes}"),
        }
    }
}

/// A number in its one spelling: digits, no leading zero, no sign.
fn decimal<N: FromStr>(text: &str) -> Option<N> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// Known words, joined by commas, none twice, at least one.
fn list<T: FromStr + PartialEq>(text: &str) -> Option<Vec<T>> {
    let mut items = Vec::new();
    for word in text.split(',') {
        let item = word.parse().ok()?;
        if items.contains(&item) {
            return None;
        }
        items.push(item);
    }
    Some(items)
}

fn prefix(text: &str) -> Option<String> {
    (1..=PREFIX_MAX_BYTES).contains(&text.len()).then(|| text.to_owned())
}

/// A block of addresses in its one spelling: the network's own address, a slash, the length of the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    network: IpAddr,
    prefix_bits: u8,
}

impl Cidr {
    /// Whether the block holds `address`. An IPv4-mapped IPv6 address counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && masked(address, self.prefix_bits) == self.network
    }
}

/// The address with all bits behind the first `prefix_bits` cleared.
fn masked(address: IpAddr, prefix_bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix_bits)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix_bits)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

impl FromStr for Cidr {
    type Err = BadCaveat;

    fn from_str(text: &str) -> Result<Self, BadCaveat> {
        const BAD: BadCaveat = BadCaveat(
            "ip must be a network in CIDR form, like 192.0.2.0/24 or 2001:db8::/32, host bits zero",
        );
        let (address, bits) = text.split_once('/').ok_or(BAD)?;
        let network: IpAddr = address.parse().map_err(|_| BAD)?;
        let prefix_bits: u8 = decimal(bits).ok_or(BAD)?;
        let cidr = Self { network, prefix_bits };
        let fits = prefix_bits <= if network.is_ipv4() { 32 } else { 128 };
        // One spelling per block; a mapped IPv4 network would never match a canonical address.
        if fits
            && network.to_canonical() == network
            && masked(network, prefix_bits) == network
            && cidr.to_string() == text
        {
            Ok(cidr)
        } else {
            Err(BAD)
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_bits)
    }
}

/// All caveats of a token taken together: what is left of its authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restrictions {
    /// The earliest `exp`.
    pub exp_unix: Option<i64>,
    /// The latest `nbf`.
    pub nbf_unix: Option<i64>,
    /// What all `op` caveats allow.
    pub ops: OpSet,
    /// What all `model` caveats allow.
    pub models: ModelSet,
    /// The one database that all `db` caveats name.
    pub database_id: Option<DatabaseId>,
    /// A table's name must begin with each of them.
    pub table_prefixes: Vec<String>,
    /// A function's name must begin with each of them.
    pub function_prefixes: Vec<String>,
    /// The client must be inside each of them.
    pub networks: Vec<Cidr>,
    /// Every daily budget, in bytes.
    pub byte_budgets: Vec<u64>,
}

impl Restrictions {
    /// No caveats at all.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            exp_unix: None,
            nbf_unix: None,
            ops: OpSet::ALL,
            models: ModelSet::ALL,
            database_id: None,
            table_prefixes: Vec::new(),
            function_prefixes: Vec::new(),
            networks: Vec::new(),
            byte_budgets: Vec::new(),
        }
    }

    /// No caveats at all, shared by everyone who has none.
    #[must_use]
    pub fn shared_none() -> Arc<Self> {
        static NONE: LazyLock<Arc<Restrictions>> = LazyLock::new(|| Arc::new(Restrictions::none()));
        Arc::clone(&NONE)
    }

    /// Combines the caveats of a token.
    ///
    /// # Errors
    /// When there are too many, or two `db` caveats name different databases: nothing could satisfy both.
    pub fn combine(caveats: &[Caveat]) -> Result<Self, BadCaveat> {
        if caveats.len() > TOKEN_MAX_CAVEATS {
            return Err(BadCaveat("a token may have at most 32 caveats"));
        }
        let mut all = Self::none();
        for caveat in caveats {
            all.narrow(caveat)?;
        }
        Ok(all)
    }

    fn narrow(&mut self, caveat: &Caveat) -> Result<(), BadCaveat> {
        match caveat {
            Caveat::Exp(at) => self.exp_unix = Some(self.exp_unix.map_or(*at, |old| old.min(*at))),
            Caveat::Nbf(at) => self.nbf_unix = Some(self.nbf_unix.map_or(*at, |old| old.max(*at))),
            Caveat::Op(ops) => self.ops = self.ops.intersection(*ops),
            Caveat::Model(models) => self.models = self.models.intersection(*models),
            Caveat::Db(id) => {
                if self.database_id.is_some_and(|old| old != *id) {
                    return Err(BadCaveat("its db caveats name different databases"));
                }
                self.database_id = Some(*id);
            }
            Caveat::Tbl(prefix) => self.table_prefixes.push(prefix.clone()),
            Caveat::Fn(prefix) => self.function_prefixes.push(prefix.clone()),
            Caveat::Ip(cidr) => self.networks.push(*cidr),
            Caveat::Bpd(bytes) => self.byte_budgets.push(*bytes),
        }
        Ok(())
    }

    /// Whether a client at `address` may use the token; one whose address is unknown is nowhere.
    #[must_use]
    pub fn allows_address(&self, address: Option<IpAddr>) -> bool {
        self.networks.iter().all(|network| address.is_some_and(|address| network.contains(address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Verifies: TOK-02
    #[test]
    fn every_caveat_has_one_spelling() {
        for good in [
            "exp=0",
            "exp=1785000000",
            "nbf=17",
            "op=read",
            "op=read,write,admin",
            "model=pages",
            "model=events,functions",
            "db=db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153",
            "tbl=notes=",
            "fn=api/",
            "ip=192.0.2.0/24",
            "ip=0.0.0.0/0",
            "ip=2001:db8::/32",
            "ip=::1/128",
            "bpd=1048576",
        ] {
            assert_eq!(good.parse::<Caveat>().map(|caveat| caveat.to_string()), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "=",
            "role=admin",
            "Exp=1",
            "exp",
            "exp=",
            "exp=01",
            "exp=+1",
            "exp=-1",
            "exp= 1",
            "exp=1 ",
            "exp=9223372036854775808",
            "nbf=1e3",
            "op=",
            "op=root",
            "op=read,",
            "op=read,read",
            "op=read, write",
            "model=",
            "model=blobs",
            "db=",
            "db=main",
            "tbl=",
            "fn=",
            "ip=192.0.2.1",
            "ip=192.0.2.1/24",
            "ip=192.0.2.0/33",
            "ip=192.0.2.0/024",
            "ip=2001:DB8::/32",
            "ip=::ffff:192.0.2.0/120",
            "bpd=-1",
            "bpd=",
        ] {
            assert!(bad.parse::<Caveat>().is_err(), "{bad:?}");
        }
        assert!(format!("tbl={}", "x".repeat(128)).parse::<Caveat>().is_ok());
        assert!(format!("tbl={}", "x".repeat(129)).parse::<Caveat>().is_err());
    }

    #[test]
    fn caveats_combine_to_the_narrowest() {
        let caveats: Vec<Caveat> = [
            "exp=20",
            "exp=10",
            "nbf=1",
            "nbf=5",
            "op=read,write",
            "op=write,admin",
            "model=pages,events",
            "tbl=a",
            "tbl=ab",
            "ip=10.0.0.0/8",
            "ip=10.1.0.0/16",
            "bpd=9",
            "bpd=3",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        let all = Restrictions::combine(&caveats).unwrap();
        assert_eq!((all.exp_unix, all.nbf_unix), (Some(10), Some(5)));
        assert_eq!(all.ops, OpSet::of(&[Op::Write]));
        assert_eq!(all.models, ModelSet::of(&[Model::Pages, Model::Events]));
        assert_eq!(all.table_prefixes, ["a", "ab"]);
        assert_eq!(all.byte_budgets, [9, 3]);
        assert!(all.allows_address(Some("10.1.2.3".parse().unwrap())));
        assert!(all.allows_address(Some("::ffff:10.1.2.3".parse().unwrap())));
        assert!(!all.allows_address(Some("10.2.2.3".parse().unwrap())));
        assert!(!all.allows_address(Some("::1".parse().unwrap())));
    }

    // Verifies: TOK-08
    #[test]
    fn only_time_and_address_leave_a_session_its_rights() {
        let keeps = |text: &str| text.parse::<Caveat>().unwrap().keeps_all_rights();
        assert!(["exp=9", "nbf=1", "ip=10.0.0.0/8"].into_iter().all(keeps));
        let own = "db=db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153";
        // Also one that takes nothing away today: what it covers may grow.
        let narrow = ["op=read,write,admin", "model=pages", own, "tbl=a", "fn=a", "bpd=1"];
        assert!(!narrow.into_iter().any(keeps));
    }

    #[test]
    fn two_databases_or_33_caveats_satisfy_nothing() {
        let one: Caveat = "db=db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902153".parse().unwrap();
        let other: Caveat = "db=db_3f2b9c1e-5d44-4a7b-8e11-0a6c7d902154".parse().unwrap();
        assert!(Restrictions::combine(&[one.clone(), one.clone()]).is_ok());
        assert!(Restrictions::combine(&[one.clone(), other]).is_err());
        assert!(Restrictions::combine(&vec![one.clone(); 32]).is_ok());
        assert!(Restrictions::combine(&vec![one; 33]).is_err());
    }
}
