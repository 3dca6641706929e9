//! Serialises the fleet for the state file.
//!
//! Integers and floats are little endian; texts and lists follow their length in 32 bits. Values that can be computed are omitted:
//! presences follow from ages, locations from H3 indices. Moments are unchanged, because the next process continues the clock of this
//! one.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use thiserror::Error;

use super::allocation::{ADDRESS_BYTES, Allocation, AllocationContent, INFO_BYTES};
use super::block::{Alerts, Block, DeviceState, Difference, Place, Presence, alert_bytes};
use super::columns::MOST_FOR_A_VALUE;
use super::stream_time::StreamTime;
use super::table::{Lanes, Table};
use super::{Fleet, FleetOptions};
use crate::telemetry::bounds::{LONGEST_NAME, MOST_COLUMNS};
use crate::telemetry::catalogue::{is_field_family, is_free_key, is_reserved_family};
use crate::telemetry::ip::Address;
use crate::telemetry::schema::LOCATION_FIELD;
use crate::telemetry::values::sanitise;
use crate::telemetry::{AddressKind, DeviceKind, location};
use crate::time::Moment;

/// The latest moment: a thousand years after the clock's start, so that sums with durations do not overflow.
const LAST_MOMENT: Moment = Moment::from_millis(1000 * 366 * 86_400 * 1000);

/// The longest name of a lane: that of a column with a prefix.
const LONGEST_LANE: usize = LONGEST_NAME + 16;

/// The longest name of a type: that of an enum with a suffix that makes it unique.
const LONGEST_TYPE_NAME: usize = 4 * LONGEST_NAME;

/// Below this size, no further data is read.
const LEAST_ROOM: usize = 64 * 1024;

/// A device is in it.
const DEVICE: u8 = 1;

/// An allocation is in it.
const ALLOCATION: u8 = 2;

/// Just one row of the device has counted. Files of earlier builds never say so, and earlier builds do not look.
const NEW: u8 = 4;

/// Four bytes of an address follow.
const IPV4: u8 = 4;

/// Sixteen bytes of an address follow.
const IPV6: u8 = 6;

/// In the place of a prefix length.
const NO_PREFIX: u8 = u8::MAX;

/// The state of a fleet, shared with it: what the fleet writes to meanwhile it copies.
#[derive(Debug)]
pub struct Frozen {
    stream_time: Moment,
    tables: Vec<FrozenTable>,
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

/// Why bytes are no fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DumpError {
    /// They end too early.
    #[error("it is truncated")]
    End,
    /// They go on behind the end.
    #[error("it has bytes after its end")]
    Rest,
    /// A value that no fleet has.
    #[error("{0} is not valid")]
    Value(&'static str),
}

impl Frozen {
    pub(super) fn of(fleet: &Fleet) -> Self {
        let frozen = |table: &Table| FrozenTable {
            code: Arc::clone(&table.code),
            name: Arc::clone(&table.name),
            gauges: Arc::clone(table.gauges()),
            infos: Arc::clone(table.infos()),
            info_columns: table.info_columns().to_vec(),
            blocks: table.blocks().to_vec(),
        };
        Self {
            stream_time: fleet.stream_time.now(),
            tables: fleet.tables.tables.iter().map(frozen).collect(),
        }
    }

    /// Writes it. Blocks are let go of one after the other, so that the fleet copies few.
    ///
    /// # Errors
    /// What writing fails with.
    pub fn write(self, out: &mut impl Write) -> io::Result<()> {
        moment(out, self.stream_time)?;
        length(out, self.tables.len())?;
        self.tables
            .into_iter()
            .try_for_each(|table| table.write(out))
    }
}

impl FrozenTable {
    fn write(self, out: &mut impl Write) -> io::Result<()> {
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
            for slot in 0..block.len() {
                write_slot(out, &block, slot)?;
            }
        }
        Ok(())
    }
}

fn contents(block: &Block, slot: usize) -> u8 {
    let device = match block.presences()[slot] {
        Presence::Absent => 0,
        _ if block.is_new(slot) => DEVICE | NEW,
        _ => DEVICE,
    };
    let allocation = block.allocation(slot).map(|_| ALLOCATION);
    device | allocation.unwrap_or_default()
}

/// How many slots of a block are written.
fn entries(block: &Block) -> usize {
    let slots = 0..block.len();
    slots.filter(|&slot| contents(block, slot) != 0).count()
}

fn write_slot(out: &mut impl Write, block: &Block, slot: usize) -> io::Result<()> {
    let contents = contents(block, slot);
    if contents == 0 {
        return Ok(());
    }
    text(out, block.labels().id(slot))?;
    out.write_all(&[contents])?;
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
    let index = block.place(slot).map_or(0, |place| place.index.get());
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

/// Numbers stand at the places of their lanes, up to the last one that there is.
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
    let length = u32::try_from(length).map_err(io::Error::other)?;
    out.write_all(&length.to_le_bytes())
}

impl Fleet {
    /// The fleet that [`Frozen::write`] wrote when its clock showed `now`, as far as the options have a place for it: what is beyond
    /// its limits is left out. [`Fleet::expire`] is then to be called.
    ///
    /// The bytes need not be friendly: nothing in them makes it panic, or take more memory than they themselves do, but for a
    /// small factor.
    ///
    /// # Errors
    /// When the bytes are no fleet.
    pub fn thaw(options: FleetOptions, now: Moment, bytes: &[u8]) -> Result<Self, DumpError> {
        if now > LAST_MOMENT {
            return Err(DumpError::Value("the clock"));
        }
        let mut input = Input { rest: bytes };
        let mut room = Some(options.limits.values);
        let mut fleet = Self::new(options);
        fleet.stream_time = StreamTime::resume(input.moment()?.min(now));
        for _ in 0..input.length()? {
            Thawing {
                fleet: &mut fleet,
                input: &mut input,
                now,
                room: &mut room,
                keys: BTreeSet::new(),
            }
            .table()?;
        }
        if !input.rest.is_empty() {
            return Err(DumpError::Rest);
        }
        // Before the devices age: rows may have come last long before the state was written.
        let online = online_at_last(&fleet);
        fleet.stream_time.note_online(0..online);
        // Presences are not stored: this works out what they were when the state was written.
        fleet.expire(now);
        fleet.version = 1;
        Ok(fleet)
    }
}

/// How many devices were online when the last row came.
fn online_at_last(fleet: &Fleet) -> usize {
    let stale_after = fleet.options.retention.stale_after;
    let seen = || {
        let blocks = fleet.blocks();
        blocks.flat_map(|block| block.known().map(|slot| block.seen(slot).0))
    };
    let last = seen().max().unwrap_or_default();
    seen()
        .filter(|seen| last.since(*seen) < stale_after)
        .count()
}

/// Reads one table.
struct Thawing<'f, 'i> {
    fleet: &'f mut Fleet,
    input: &'f mut Input<'i>,
    /// What the clock showed when it was written: nothing has happened later.
    now: Moment,
    /// For how many bytes of numbers, places of texts and entries of lists there is certainly room; `None` once
    /// there is none.
    room: &'f mut Option<usize>,
    /// The info keys of allocations, each once.
    keys: BTreeSet<Arc<str>>,
}

/// In which lanes the values of a table go; none where the options leave them out.
struct LaneNumbers {
    gauges: Vec<Option<usize>>,
    infos: Vec<Option<usize>>,
}

impl Thawing<'_, '_> {
    fn table(&mut self) -> Result<(), DumpError> {
        let code = self.input.text()?;
        let name = self.input.text()?;
        let kind = DeviceKind::of(code);
        if kind == DeviceKind::Allocation {
            return Err(DumpError::Value("a device type"));
        }
        let number = self.table_of(code, name);
        let lanes = self.lanes(number)?;
        for _ in 0..self.input.length()? {
            self.slot(number, &lanes)?;
        }
        Ok(())
    }

    /// The table of a type, if the options have a place for it.
    fn table_of(&mut self, code: &str, name: &str) -> Option<usize> {
        let FleetOptions {
            limits,
            include_routers,
            ..
        } = &self.fleet.options;
        let is_kept = DeviceKind::of(code) != DeviceKind::Router || *include_routers;
        let fits = code.len() <= limits.identifier;
        let known = self.fleet.tables.find(code);
        let has_room = known.is_some() || self.fleet.tables.tables.len() < limits.types;
        if !(is_kept && fits && has_room) {
            return None;
        }
        let number = known.unwrap_or_else(|| self.fleet.tables.add(code));
        let is_short = name.len() <= LONGEST_TYPE_NAME;
        let name = if is_short { name } else { code };
        self.fleet.tables.rename(number, &name.into());
        Some(number)
    }

    fn lanes(&mut self, table: Option<usize>) -> Result<LaneNumbers, DumpError> {
        let fields = self.fleet.options.fields.clone();
        let most = self.fleet.options.limits.lanes;
        let mut table = table.map(|table| self.fleet.tables.get_mut(table));
        let is_kept = |name: &str, field: &str| {
            fields.keeps(field) && field.len() <= LONGEST_NAME && name.len() <= LONGEST_LANE
        };
        let mut gauges = Vec::new();
        for _ in 0..self.input.length()? {
            let (name, field) = (self.input.text()?, self.input.text()?);
            if !is_field_family(name) {
                return Err(DumpError::Value("a metric name"));
            }
            // An older version may have reserved fewer names.
            let is_kept = !is_reserved_family(name) && is_kept(name, field);
            let table = table.as_mut().filter(|_| is_kept);
            gauges.push(table.and_then(|table| table.thaw_gauge_lane(name, field, most)));
        }
        let mut infos = Vec::new();
        for _ in 0..self.input.length()? {
            let (key, field) = (self.input.text()?, self.input.text()?);
            let column = self.input.length()?;
            if !is_free_key(key) {
                return Err(DumpError::Value("an info key"));
            }
            let column = (column as usize).min(MOST_COLUMNS);
            let table = table.as_mut().filter(|_| is_kept(key, field));
            infos.push(table.and_then(|table| table.thaw_info_lane(key, field, column, most)));
        }
        Ok(LaneNumbers { gauges, infos })
    }

    fn slot(&mut self, table: Option<usize>, lanes: &LaneNumbers) -> Result<(), DumpError> {
        let id = self.input.text()?;
        if id.is_empty() {
            return Err(DumpError::Value("an identifier"));
        }
        let [contents] = self.input.array()?;
        let device = match contents & DEVICE {
            0 => None,
            _ => Some(self.device(lanes)?),
        };
        let allocation = match contents & ALLOCATION {
            0 => None,
            _ => Some(Arc::new(self.allocation()?)),
        };
        let limits = &self.fleet.options.limits;
        let Some(table) = table.filter(|_| id.len() <= limits.identifier) else {
            return Ok(());
        };
        let may_add = self.fleet.devices() < limits.devices;
        let table = self.fleet.tables.get_mut(table);
        let Some(slot) = table.slot(id, may_add) else {
            return Ok(());
        };
        // Reviewed as soon as possible: ages have grown.
        let (block, slot) = table.block_mut(slot, Moment::default());
        if let Some(device) = device {
            let state = DeviceState {
                reported: device.reported,
                lanes: &device.lanes,
                gauges: &device.gauges,
                changes: &device.changes,
            };
            block.replace(slot, state, device.seen, device.seen_in_stream);
            if contents & NEW == 0 {
                block.settle(slot);
            }
        }
        if let Some(allocation) = allocation {
            block.allocate(slot, allocation);
        }
        Ok(())
    }

    fn device(&mut self, lanes: &LaneNumbers) -> Result<Device, DumpError> {
        let reported = i64::from_le_bytes(self.input.array()?);
        let seen = self.input.moment()?.min(self.now);
        let seen_in_stream = self.input.moment()?.min(self.fleet.stream_time.now());
        let place = self.place()?;
        let alerts = self.alerts()?;
        let gauges = self.gauges(&lanes.gauges)?;
        let (lanes_of_gauges, gauges) = gauges.into_iter().unzip();
        let longest = self.fleet.options.limits.text;
        let mut changes = vec![Difference::Place(place), Difference::Alerts(alerts)];
        for _ in 0..self.input.length()? {
            let lane = lanes.infos.get(self.input.length()? as usize);
            let lane = *lane.ok_or(DumpError::Value("a text's place"))?;
            let text = self.input.text()?;
            if let Some(lane) = lane
                && text.len() <= longest
                && self.has_room_for(MOST_FOR_A_VALUE)
            {
                let text = self.fleet.texts.intern(text);
                changes.extend(text.map(|text| Difference::Info(lane, Some(text))));
            }
        }
        Ok(Device {
            reported,
            seen,
            seen_in_stream,
            lanes: lanes_of_gauges,
            gauges,
            changes,
        })
    }

    /// Whether the fleet may hold a number, a text or an entry of a list that takes so many bytes.
    fn has_room_for(&mut self, bytes: usize) -> bool {
        let Some(mut room) = *self.room else {
            return false;
        };
        if room < bytes {
            // Values may take less than was counted for them. With nearly no room that is not looked up again for each.
            let taken = self.fleet.tables.value_bytes();
            room = self.fleet.options.limits.values.saturating_sub(taken);
            room = if room < LEAST_ROOM { 0 } else { room };
        }
        *self.room = room.checked_sub(bytes);
        self.room.is_some()
    }

    fn place(&mut self) -> Result<Option<Place>, DumpError> {
        let index = NonZeroU64::new(u64::from_le_bytes(self.input.array()?));
        let is_kept = self.fleet.options.fields.keeps(LOCATION_FIELD);
        let Some(index) = index.filter(|_| is_kept) else {
            return Ok(None);
        };
        let centre = location::centre(index.get()).ok_or(DumpError::Value("an H3 index"))?;
        Ok(Some(Place { index, centre }))
    }

    fn alerts(&mut self) -> Result<Alerts, DumpError> {
        let mut names = Vec::new();
        for _ in 0..self.input.length()? {
            let name = self.input.text()?;
            if sanitise(name) != name {
                return Err(DumpError::Value("an alert's name"));
            }
            let limits = &self.fleet.options.limits;
            if names.len() < limits.alerts
                && name.len() <= limits.alert.max(LONGEST_NAME)
                && self.has_room_for(alert_bytes(1))
            {
                names.extend(self.fleet.alert_names.intern(name));
            }
        }
        names.sort_unstable();
        names.dedup();
        names.shrink_to_fit();
        Ok((!names.is_empty()).then(|| Arc::new(names)))
    }

    /// Lanes, ascending, and the number of each.
    fn gauges(&mut self, lanes: &[Option<usize>]) -> Result<Vec<(u32, f64)>, DumpError> {
        let mut gauges = Vec::new();
        for number in 0..self.input.length()? {
            let value = f64::from_le_bytes(self.input.array()?);
            let lane = lanes.get(number as usize);
            let lane = lane.ok_or(DumpError::Value("a number's place"))?;
            if let Some(lane) = lane.and_then(|lane| u32::try_from(lane).ok())
                && value.is_finite()
                && self.has_room_for(MOST_FOR_A_VALUE)
            {
                gauges.push((lane, value));
            }
        }
        gauges.sort_by_key(|(lane, _)| *lane);
        gauges.dedup_by_key(|(lane, _)| *lane);
        Ok(gauges)
    }

    fn allocation(&mut self) -> Result<Allocation, DumpError> {
        let reported = i64::from_le_bytes(self.input.array()?);
        let seen = self.input.moment()?.min(self.now);
        let mut content = AllocationContent::default();
        let fields = self.fleet.options.fields.clone();
        let most = self.fleet.options.limits.addresses;
        for kind in AddressKind::ALL {
            for _ in 0..self.input.length()? {
                let address = self.address()?;
                if kind.has(address)
                    && fields.keeps(kind.field())
                    && self.has_room_for(ADDRESS_BYTES)
                {
                    content.add(kind, address, most);
                }
            }
        }
        let mut known = BTreeSet::new();
        let longest = self.fleet.options.limits.text;
        for _ in 0..self.input.length()? {
            let (key, value) = (self.input.text()?, self.input.text()?);
            if !is_free_key(key) || !known.insert(key) {
                return Err(DumpError::Value("an info key"));
            }
            if value.len() > longest || key.len() > LONGEST_LANE {
                continue;
            }
            // The next row of the allocation brings back what is left out in vain.
            if !fields.keeps_key(key) {
                continue;
            }
            let Some(key) = self.key(key) else { continue };
            if !self.has_room_for(INFO_BYTES) {
                continue;
            }
            let value = self.fleet.texts.intern(value);
            content.infos.extend(value.map(|value| (key, value)));
        }
        content.shrink_to_fit();
        Ok(Allocation {
            reported,
            seen,
            content: Arc::new(content),
        })
    }

    fn address(&mut self) -> Result<Address, DumpError> {
        let address = match self.input.array()? {
            [IPV4] => IpAddr::from(self.input.array::<4>()?),
            [IPV6] => IpAddr::from(self.input.array::<16>()?),
            [_] => return Err(DumpError::Value("an address's kind")),
        };
        let [prefix] = self.input.array()?;
        let prefix = (prefix != NO_PREFIX).then_some(prefix);
        Address::new(address, prefix).ok_or(DumpError::Value("an address's prefix"))
    }

    fn key(&mut self, name: &str) -> Option<Arc<str>> {
        if let Some(known) = self.keys.get(name) {
            return Some(Arc::clone(known));
        }
        if self.keys.len() >= self.fleet.options.limits.lanes {
            return None;
        }
        let key: Arc<str> = name.into();
        self.keys.insert(Arc::clone(&key));
        Some(key)
    }
}

/// A device as it stands in a dump.
struct Device {
    reported: i64,
    seen: Moment,
    seen_in_stream: Moment,
    lanes: Vec<u32>,
    gauges: Vec<f64>,
    changes: Vec<Difference>,
}

/// What is left to read.
struct Input<'i> {
    rest: &'i [u8],
}

impl<'i> Input<'i> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], DumpError> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(DumpError::End)?;
        self.rest = rest;
        Ok(*array)
    }

    fn length(&mut self) -> Result<u32, DumpError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<&'i str, DumpError> {
        let length = self.length()? as usize;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(DumpError::End)?;
        self.rest = rest;
        str::from_utf8(text).map_err(|_| DumpError::Value("a text"))
    }

    fn moment(&mut self) -> Result<Moment, DumpError> {
        let moment = Moment::from_millis(u64::from_le_bytes(self.array()?));
        match moment <= LAST_MOMENT {
            true => Ok(moment),
            false => Err(DumpError::Value("a moment")),
        }
    }
}

#[cfg(test)]
mod tests;
