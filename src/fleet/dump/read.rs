//! Reads a dump. A dump comes from a file that anything may have changed, so every value is checked.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::sync::Arc;

use super::input::Input;
use super::inventories;
use super::{
    ALLOCATION, DEVICE, DumpError, Form, IPV4, IPV6, LAST_KNOWN, LAST_MOMENT, LEAST_ROOM,
    LONGEST_ACCOUNT, LONGEST_LANE, LONGEST_TYPE_NAME, NEW, NO_ACCOUNT, NO_PREFIX,
};
use crate::fleet::accounts::AccountId;
use crate::fleet::allocation::{ADDRESS_BYTES, Allocation, AllocationContent, INFO_BYTES};
use crate::fleet::columns::MOST_FOR_A_VALUE;
use crate::fleet::device::{
    Alerts, DeviceLocation, DeviceState, Difference, Presence, alert_bytes,
};
use crate::fleet::stream_time::StreamTime;
use crate::fleet::{Fleet, FleetOptions};
use crate::telemetry::bounds::{LONGEST_NAME, MOST_COLUMNS};
use crate::telemetry::catalogue::{is_field_family, is_free_key, is_reserved_family};
use crate::telemetry::ip::Address;
use crate::telemetry::location::centre;
use crate::telemetry::schema::LOCATION_FIELD;
use crate::telemetry::values::sanitise;
use crate::telemetry::{AddressKind, DeviceKind};
use crate::time::Moment;

impl Fleet {
    /// Reads a fleet that [`super::Frozen::write`] wrote in the format version `form` when its clock was `now`. Devices and values that
    /// exceed the limits of the options, or that the options exclude, are left out.
    /// Call [`Fleet::expire`] afterwards.
    ///
    /// No input causes a panic, or uses more memory than a small multiple of its own size.
    ///
    /// # Errors
    /// [`DumpError`]: the bytes are not a dump in this form.
    pub fn thaw(
        options: FleetOptions,
        now: Moment,
        form: Form,
        bytes: &[u8],
    ) -> Result<Self, DumpError> {
        if now > LAST_MOMENT {
            return Err(DumpError::Invalid("time of the dump"));
        }
        let mut input = Input { rest: bytes };
        let mut room = Some(options.limits.values);
        let mut fleet = Self::new(options);
        let accounts = match form {
            Form::WithoutAccounts => {
                // The stream time of all devices. It is not used, because they have no account.
                input.moment()?;
                Vec::new()
            }
            Form::WithAccounts | Form::WithInventories => accounts(&mut fleet, &mut input, now)?,
        };
        for _ in 0..input.length()? {
            TableReader {
                fleet: &mut fleet,
                input: &mut input,
                now,
                form,
                accounts: &accounts,
                room: &mut room,
                keys: BTreeSet::new(),
            }
            .table()?;
        }
        if form == Form::WithInventories {
            inventories(&mut fleet, &mut input, &accounts)?;
        }
        if !input.rest.is_empty() {
            return Err(DumpError::Trailing);
        }
        // Before the devices age, because the last row may have arrived long before the state was written.
        for &id in accounts.iter().flatten() {
            let online = online_at_last(&fleet, id);
            if let Some(account) = fleet.accounts.get_mut(id) {
                account.stream_time.note_online(online);
            }
        }
        // Computes the presences, which are not stored, as they were when the state was written.
        fleet.expire(now);
        fleet.version = 1;
        Ok(fleet)
    }
}

/// Reads the accounts and adds each to the fleet, with its stream time, if there is room. Returns them by position.
fn accounts(
    fleet: &mut Fleet,
    input: &mut Input<'_>,
    now: Moment,
) -> Result<Vec<Option<AccountId>>, DumpError> {
    let mut accounts = Vec::new();
    for _ in 0..input.length()? {
        let name = input.text()?;
        let stream_time = input.moment()?.min(now);
        if name.is_empty() || name.len() > LONGEST_ACCOUNT {
            return Err(DumpError::Invalid("account name"));
        }
        let id = fleet.account(&name.into());
        if let Some(account) = id.and_then(|id| fleet.accounts.get_mut(id)) {
            account.stream_time = StreamTime::resume(stream_time);
        }
        accounts.push(id);
    }
    Ok(accounts)
}

/// Reads the inventories, and lists their terminals.
fn inventories(
    fleet: &mut Fleet,
    input: &mut Input<'_>,
    accounts: &[Option<AccountId>],
) -> Result<(), DumpError> {
    for _ in 0..input.length()? {
        let number = input.length()? as usize;
        let account = number.checked_sub(1).and_then(|at| accounts.get(at));
        let account = account.ok_or(DumpError::Invalid("account number of an inventory"))?;
        let length = u64::from_le_bytes(input.array()?);
        let json = input.bytes(usize::try_from(length).map_err(|_| DumpError::Truncated)?)?;
        let inventory = inventories::read(json)?;
        if let Some(account) = account.and_then(|id| fleet.accounts.get_mut(id)) {
            account.inventory = Some(Arc::new(inventory));
        }
    }
    fleet.list_inventories();
    Ok(())
}

/// The number of an account's devices that were online when its last row arrived.
fn online_at_last(fleet: &Fleet, account: AccountId) -> usize {
    let stale_after = fleet.options.retention.stale_after;
    let seen = || {
        let blocks = fleet.blocks();
        let blocks = blocks.filter(|block| block.account() == Some(account));
        blocks.flat_map(|block| {
            let reported = block.known().filter(|&slot| block.has_streamed(slot));
            reported.map(|slot| block.seen(slot).0)
        })
    };
    let last = seen().max().unwrap_or_default();
    seen()
        .filter(|seen| last.since(*seen) < stale_after)
        .count()
}

/// Reads one table.
struct TableReader<'f, 'i> {
    fleet: &'f mut Fleet,
    input: &'f mut Input<'i>,
    /// The clock when the dump was written. Later moments are replaced by it.
    now: Moment,
    form: Form,
    /// The accounts by position.
    accounts: &'f [Option<AccountId>],
    /// A lower bound of the memory in bytes that is left for numbers, references to texts and entries of lists; `None` if it is used up.
    room: &'f mut Option<usize>,
    /// The shared info keys of allocations.
    keys: BTreeSet<Arc<str>>,
}

/// The lanes of the fleet by lane of the dump; `None` for lanes that the options leave out.
struct LaneNumbers {
    gauges: Vec<Option<usize>>,
    infos: Vec<Option<usize>>,
}

impl TableReader<'_, '_> {
    fn table(&mut self) -> Result<(), DumpError> {
        let code = self.input.text()?;
        let name = self.input.text()?;
        let kind = DeviceKind::of(code);
        if kind == DeviceKind::Allocation {
            return Err(DumpError::Invalid("device type"));
        }
        let number = self.table_of(code, name);
        let lanes = self.lanes(number)?;
        for _ in 0..self.input.length()? {
            self.slot(number, &lanes)?;
        }
        Ok(())
    }

    /// The table of a type, added if necessary; `None` if the options leave the type out.
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
                return Err(DumpError::Invalid("metric name"));
            }
            // An older version of the program may have reserved fewer names.
            let is_kept = !is_reserved_family(name) && is_kept(name, field);
            let table = table.as_mut().filter(|_| is_kept);
            gauges.push(table.and_then(|table| table.restore_gauge_lane(name, field, most)));
        }
        let mut infos = Vec::new();
        for _ in 0..self.input.length()? {
            let (key, field) = (self.input.text()?, self.input.text()?);
            let column = self.input.length()?;
            if !is_free_key(key) {
                return Err(DumpError::Invalid("info key"));
            }
            let column = (column as usize).min(MOST_COLUMNS);
            let table = table.as_mut().filter(|_| is_kept(key, field));
            infos.push(table.and_then(|table| table.restore_info_lane(key, field, column, most)));
        }
        Ok(LaneNumbers { gauges, infos })
    }

    fn slot(&mut self, table: Option<usize>, lanes: &LaneNumbers) -> Result<(), DumpError> {
        let id = self.input.text()?;
        if id.is_empty() {
            return Err(DumpError::Invalid("device ID"));
        }
        let [contents] = self.input.array()?;
        let account = self.account()?;
        let device = match contents & DEVICE {
            0 => None,
            _ => Some(self.device(lanes, account)?),
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
        let Some(slot) = table.slot(id, may_add, account) else {
            return Ok(());
        };
        // The block is due at once, because ages have increased.
        let (block, slot) = table.slots_mut().block_mut(slot, Moment::default());
        if let Some(device) = device {
            let state = DeviceState {
                reported: device.reported,
                lanes: &device.lanes,
                gauges: &device.gauges,
                changes: &device.changes,
            };
            match device.reported {
                0 => block.restore_unreported(slot, device.seen_in_stream),
                _ => {
                    block.replace(slot, state, device.seen, device.seen_in_stream);
                    if contents & LAST_KNOWN != 0 {
                        block.make_last_known(slot, Presence::Stale, device.seen_in_stream);
                    } else {
                        block.deliver(slot, device.seen);
                    }
                    if contents & (NEW | LAST_KNOWN) == 0 {
                        block.mark_as_not_new(slot);
                    }
                }
            }
        }
        if let Some(allocation) = allocation {
            block.allocate(slot, allocation);
        }
        Ok(())
    }

    /// The account of a device; `None` if it has none, or if the fleet has no room for the account.
    fn account(&mut self) -> Result<Option<AccountId>, DumpError> {
        if self.form == Form::WithoutAccounts {
            return Ok(None);
        }
        let number = self.input.length()?;
        if number == NO_ACCOUNT {
            return Ok(None);
        }
        let account = self.accounts.get(number as usize - 1);
        account
            .copied()
            .ok_or(DumpError::Invalid("account number of a device"))
    }

    fn device(
        &mut self,
        lanes: &LaneNumbers,
        account: Option<AccountId>,
    ) -> Result<Device, DumpError> {
        let reported = i64::from_le_bytes(self.input.array()?);
        let seen = self.input.moment()?.min(self.now);
        let account = account.and_then(|id| self.fleet.accounts.get(id));
        let stream_time = account.map_or(Moment::default(), |it| it.stream_time.now());
        let seen_in_stream = self.input.moment()?.min(stream_time);
        let location = self.location()?;
        let alerts = self.alerts()?;
        let gauges = self.gauges(&lanes.gauges)?;
        let (lanes_of_gauges, gauges) = gauges.into_iter().unzip();
        let longest = self.fleet.options.limits.text;
        let mut changes = vec![Difference::Location(location), Difference::Alerts(alerts)];
        for _ in 0..self.input.length()? {
            let lane = lanes.infos.get(self.input.length()? as usize);
            let lane = *lane.ok_or(DumpError::Invalid("lane number of a text"))?;
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

    /// Whether there is room for a number, a text or an entry of a list with this size in bytes. Reserves the room if so.
    fn has_room_for(&mut self, bytes: usize) -> bool {
        let Some(mut room) = *self.room else {
            return false;
        };
        if room < bytes {
            // The memory is computed exactly only now, because values may need less than was counted for them.
            let taken = self.fleet.tables.value_bytes();
            room = self.fleet.options.limits.values.saturating_sub(taken);
            room = if room < LEAST_ROOM { 0 } else { room };
        }
        *self.room = room.checked_sub(bytes);
        self.room.is_some()
    }

    fn location(&mut self) -> Result<Option<DeviceLocation>, DumpError> {
        let index = NonZeroU64::new(u64::from_le_bytes(self.input.array()?));
        let is_kept = self.fleet.options.fields.keeps(LOCATION_FIELD);
        let Some(index) = index.filter(|_| is_kept) else {
            return Ok(None);
        };
        let centre = centre(index.get()).ok_or(DumpError::Invalid("H3 index"))?;
        Ok(Some(DeviceLocation { index, centre }))
    }

    fn alerts(&mut self) -> Result<Alerts, DumpError> {
        let mut names = Vec::new();
        for _ in 0..self.input.length()? {
            let name = self.input.text()?;
            if sanitise(name) != name {
                return Err(DumpError::Invalid("alert name"));
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

    /// The numbers with their lanes, in the order of the lanes.
    fn gauges(&mut self, lanes: &[Option<usize>]) -> Result<Vec<(u32, f64)>, DumpError> {
        let mut gauges = Vec::new();
        for number in 0..self.input.length()? {
            let value = f64::from_le_bytes(self.input.array()?);
            let lane = lanes.get(number as usize);
            let lane = lane.ok_or(DumpError::Invalid("lane number of a gauge"))?;
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
                if kind.matches(address)
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
                return Err(DumpError::Invalid("info key"));
            }
            if value.len() > longest || key.len() > LONGEST_LANE {
                continue;
            }
            // If the field is not filtered after all, the next row of the allocation restores it.
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
            [_] => return Err(DumpError::Invalid("kind of an address")),
        };
        let [prefix] = self.input.array()?;
        let prefix = (prefix != NO_PREFIX).then_some(prefix);
        Address::new(address, prefix).ok_or(DumpError::Invalid("prefix length of an address"))
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

/// A device of a dump.
struct Device {
    reported: i64,
    seen: Moment,
    seen_in_stream: Moment,
    lanes: Vec<u32>,
    gauges: Vec<f64>,
    changes: Vec<Difference>,
}
