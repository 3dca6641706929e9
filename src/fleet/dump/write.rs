//! Writes a dump, in the order and encoding that [`super`] describes.

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;

use super::inventories;
use super::{ALLOCATION, DEVICE, IPV4, IPV6, LAST_KNOWN, NEW, NO_ACCOUNT, NO_PREFIX};
use crate::fleet::Fleet;
use crate::fleet::accounts::{Account, AccountId};
use crate::fleet::allocation::Allocation;
use crate::fleet::block::Block;
use crate::fleet::device::{Presence, Streamed};
use crate::fleet::table::{Lanes, Table};
use crate::inventory::Inventory;
use crate::telemetry::ip::Address;
use crate::time::Moment;

/// The state of a fleet at one moment, to be written on another thread. It shares the blocks with the fleet, which copies those that it changes in the meantime.
#[derive(Debug)]
pub struct Frozen {
    accounts: Vec<FrozenAccount>,
    tables: Vec<FrozenTable>,
}

#[derive(Debug)]
struct FrozenAccount {
    id: AccountId,
    name: Arc<str>,
    stream_time: Moment,
    inventory: Option<Arc<Inventory>>,
}

#[derive(Debug)]
struct FrozenTable {
    code: Arc<str>,
    name: Arc<str>,
    gauges: Arc<Lanes>,
    infos: Arc<Lanes>,
    info_columns: Vec<usize>,
    blocks: Vec<Arc<Block>>,
}

impl Frozen {
    pub(in crate::fleet) fn of(fleet: &Fleet) -> Self {
        let frozen = |table: &Table| FrozenTable {
            code: Arc::clone(&table.code),
            name: Arc::clone(&table.name),
            gauges: Arc::clone(table.gauges()),
            infos: Arc::clone(table.infos()),
            info_columns: table.info_columns().to_vec(),
            blocks: table.blocks().to_vec(),
        };
        let account = |(id, account): (AccountId, &Account)| FrozenAccount {
            id,
            name: Arc::clone(&account.name),
            stream_time: account.stream_time.now(),
            inventory: account.inventory.clone(),
        };
        Self {
            accounts: fleet.accounts.all().map(account).collect(),
            tables: fleet.tables.tables.iter().map(frozen).collect(),
        }
    }

    /// Writes the dump. Drops each block after it is written, so that the fleet copies few of them.
    ///
    /// # Errors
    /// Errors of `out`.
    pub fn write(self, out: &mut impl Write) -> io::Result<()> {
        length(out, self.accounts.len())?;
        for account in &self.accounts {
            text(out, &account.name)?;
            moment(out, account.stream_time)?;
        }
        let ids: Vec<_> = self.accounts.iter().map(|account| account.id).collect();
        length(out, self.tables.len())?;
        for table in self.tables {
            table.write(&ids, out)?;
        }
        let inventories = self.accounts.iter().enumerate();
        let inventories =
            inventories.filter_map(|(at, account)| Some((at, account.inventory.as_ref()?)));
        length(out, inventories.clone().count())?;
        for (at, inventory) in inventories {
            length(out, at + 1)?;
            inventories::write(out, inventory)?;
        }
        Ok(())
    }
}

impl FrozenTable {
    fn write(self, accounts: &[AccountId], out: &mut impl Write) -> io::Result<()> {
        text(out, &self.code)?;
        text(out, &self.name)?;
        length(out, self.gauges.all().len())?;
        for lane in self.gauges.all() {
            text(out, &lane.name)?;
            text(out, &lane.field)?;
        }
        length(out, self.infos.all().len())?;
        for (lane, &column) in self.infos.all().iter().zip(&self.info_columns) {
            text(out, &lane.name)?;
            text(out, &lane.field)?;
            length(out, column)?;
        }
        length(out, self.blocks.iter().map(|block| entries(block)).sum())?;
        for block in self.blocks {
            let account = block.account();
            let account = accounts.iter().position(|id| Some(*id) == account);
            let account = account.map_or(Ok(NO_ACCOUNT), |index| number(index + 1))?;
            for slot in 0..block.len() {
                write_slot(out, account, &block, slot)?;
            }
        }
        Ok(())
    }
}

/// The flags of a slot: what it contains.
fn contents(block: &Block, slot: usize) -> u8 {
    let device = match block.presences()[slot] {
        // The inventory lists it again.
        Presence::Absent | Presence::Listed => 0,
        _ => match block.streamed(slot) {
            Streamed::Never if block.has_reported(slot) => DEVICE | LAST_KNOWN,
            Streamed::Never | Streamed::Repeatedly => DEVICE,
            Streamed::Once => DEVICE | NEW,
        },
    };
    let allocation = block.allocation(slot).map(|_| ALLOCATION);
    device | allocation.unwrap_or_default()
}

/// The number of slots of a block that are written.
fn entries(block: &Block) -> usize {
    let slots = 0..block.len();
    slots.filter(|&slot| contents(block, slot) != 0).count()
}

fn write_slot(out: &mut impl Write, account: u32, block: &Block, slot: usize) -> io::Result<()> {
    let contents = contents(block, slot);
    if contents == 0 {
        return Ok(());
    }
    text(out, block.labels().id(slot))?;
    out.write_all(&[contents])?;
    out.write_all(&account.to_le_bytes())?;
    if contents & DEVICE != 0 {
        write_device(out, block, slot)?;
    }
    match block.allocation(slot) {
        Some(allocation) => write_allocation(out, allocation),
        None => Ok(()),
    }
}

fn write_device(out: &mut impl Write, block: &Block, slot: usize) -> io::Result<()> {
    let (seen, seen_in_stream) = block.seen(slot);
    out.write_all(&block.reported(slot).to_le_bytes())?;
    moment(out, seen)?;
    moment(out, seen_in_stream)?;
    let index = block
        .location(slot)
        .map_or(0, |location| location.index.get());
    out.write_all(&index.to_le_bytes())?;
    let alerts = block.alerts(slot).as_deref().map_or(&[][..], Vec::as_slice);
    length(out, alerts.len())?;
    alerts.iter().try_for_each(|name| text(out, name))?;
    write_gauges(out, &block.gauges().row(slot))?;
    let infos = block.infos().row(slot);
    length(out, infos.len())?;
    infos.into_iter().try_for_each(|(lane, value)| {
        length(out, lane)?;
        text(out, value.as_deref().unwrap_or_default())
    })
}

/// Writes one number for each lane up to the last one with a value; NaN if there is no value.
fn write_gauges(out: &mut impl Write, row: &[(usize, &f64)]) -> io::Result<()> {
    let lanes = row.last().map_or(0, |(last, _)| last + 1);
    length(out, lanes)?;
    let mut row = row.iter().peekable();
    for lane in 0..lanes {
        let number = row.next_if(|(known, _)| *known == lane);
        let number = number.map_or(f64::NAN, |(_, number)| **number);
        out.write_all(&number.to_le_bytes())?;
    }
    Ok(())
}

fn write_allocation(out: &mut impl Write, allocation: &Allocation) -> io::Result<()> {
    out.write_all(&allocation.reported.to_le_bytes())?;
    moment(out, allocation.seen)?;
    for addresses in &allocation.content.addresses {
        length(out, addresses.len())?;
        for &address in addresses {
            write_address(out, address)?;
        }
    }
    length(out, allocation.content.infos.len())?;
    for (key, value) in &allocation.content.infos {
        text(out, key)?;
        text(out, value)?;
    }
    Ok(())
}

fn write_address(out: &mut impl Write, address: Address) -> io::Result<()> {
    match address.address() {
        IpAddr::V4(bits) => {
            out.write_all(&[IPV4])?;
            out.write_all(&bits.octets())?;
        }
        IpAddr::V6(bits) => {
            out.write_all(&[IPV6])?;
            out.write_all(&bits.octets())?;
        }
    }
    out.write_all(&[address.prefix().unwrap_or(NO_PREFIX)])
}

fn moment(out: &mut impl Write, moment: Moment) -> io::Result<()> {
    out.write_all(&moment.millis().to_le_bytes())
}

fn text(out: &mut impl Write, text: &str) -> io::Result<()> {
    length(out, text.len())?;
    out.write_all(text.as_bytes())
}

fn length(out: &mut impl Write, length: usize) -> io::Result<()> {
    out.write_all(&number(length)?.to_le_bytes())
}

fn number(number: usize) -> io::Result<u32> {
    u32::try_from(number).map_err(io::Error::other)
}
