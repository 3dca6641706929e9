//! The families of the inventory: what the management API says about devices, service lines, data pools and accounts.

use super::{FamilyType, Unit};

/// A family of the inventory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InventoryFamily {
    /// The name and the group of a device.
    DeviceName,
    /// The account of a device.
    DeviceAccount,
    /// Serial numbers and service line of a terminal.
    TerminalInfo,
    /// The terminal of a router.
    RouterTerminal,
    /// Names and product of a service line.
    LineInfo,
    /// Whether a service line is active.
    LineActive,
    /// When a service line ends.
    LineEnd,
    /// Data used by a service line, by category.
    LineUsed,
    /// The priority data of a service line's plan.
    LineLimit,
    /// Overage of a service line.
    LineOverage,
    /// Whether the customer has opted into overage.
    LineOptedIn,
    /// When the use of a service line was updated.
    LineUpdated,
    /// When the billing cycle of a service line began.
    LineCycleStart,
    /// When it ends.
    LineCycleEnd,
    /// Data used from a pool.
    PoolUsed,
    /// The size of a pool.
    PoolLimit,
    /// Number, name and region of an account.
    AccountInfo,
    /// An active suspension of an account.
    Suspension,
    /// The amount due of an account.
    BalanceDue,
}

impl InventoryFamily {
    /// All of them, in the order in which a scrape has them.
    pub const ALL: [Self; 19] = [
        Self::DeviceName,
        Self::DeviceAccount,
        Self::TerminalInfo,
        Self::RouterTerminal,
        Self::LineInfo,
        Self::LineActive,
        Self::LineEnd,
        Self::LineUsed,
        Self::LineLimit,
        Self::LineOverage,
        Self::LineOptedIn,
        Self::LineUpdated,
        Self::LineCycleStart,
        Self::LineCycleEnd,
        Self::PoolUsed,
        Self::PoolLimit,
        Self::AccountInfo,
        Self::Suspension,
        Self::BalanceDue,
    ];

    /// The name of the samples.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DeviceName => "starlink_device_name",
            Self::DeviceAccount => "starlink_device_account",
            Self::TerminalInfo => "starlink_terminal_info",
            Self::RouterTerminal => "starlink_router_terminal",
            Self::LineInfo => "starlink_service_line_info",
            Self::LineActive => "starlink_service_line_active",
            Self::LineEnd => "starlink_service_line_end_timestamp_seconds",
            Self::LineUsed => "starlink_service_line_data_used_bytes",
            Self::LineLimit => "starlink_service_line_data_limit_bytes",
            Self::LineOverage => "starlink_service_line_data_overage_bytes",
            Self::LineOptedIn => "starlink_service_line_overage_opted_in",
            Self::LineUpdated => "starlink_service_line_data_updated_timestamp_seconds",
            Self::LineCycleStart => "starlink_service_line_billing_cycle_start_timestamp_seconds",
            Self::LineCycleEnd => "starlink_service_line_billing_cycle_end_timestamp_seconds",
            Self::PoolUsed => "starlink_data_pool_used_bytes",
            Self::PoolLimit => "starlink_data_pool_limit_bytes",
            Self::AccountInfo => "starlink_account_info",
            Self::Suspension => "starlink_account_suspension",
            Self::BalanceDue => "starlink_account_balance_due",
        }
    }

    /// The text of HELP, unescaped.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::DeviceName => {
                "Name and group of the device: from NAMES_FILE, else the name from the inventory."
            }
            Self::DeviceAccount => {
                "The account that delivers the device, or lists a terminal that has not reported."
            }
            Self::TerminalInfo => {
                "Account, serial numbers and service line of a terminal of the inventory."
            }
            Self::RouterTerminal => "The terminal to which the router is bonded.",
            Self::LineInfo => {
                "Nickname, product, tail number and public address of the service line."
            }
            Self::LineActive => "Whether the service line is active: 1 or 0.",
            Self::LineEnd => "Timestamp of the end of the service line, in seconds since 1970.",
            Self::LineUsed => {
                "Data used in the current billing cycle, in bytes, by category; priority is without opt_in_priority."
            }
            Self::LineLimit => {
                "Priority data of the service line's plan for each billing cycle, in bytes."
            }
            Self::LineOverage => "Overage in the current billing cycle, in bytes.",
            Self::LineOptedIn => "Whether the customer has opted into overage: 1 or 0.",
            Self::LineUpdated => {
                "Timestamp of Starlink's last update of the data use, in seconds since 1970."
            }
            Self::LineCycleStart => {
                "Timestamp of the start of the current billing cycle, in seconds since 1970."
            }
            Self::LineCycleEnd => {
                "Timestamp of the end of the current billing cycle, in seconds since 1970."
            }
            Self::PoolUsed => "Data used of the pool's blocks that are valid now, in bytes.",
            Self::PoolLimit => "Size of the pool's blocks that are valid now, in bytes.",
            Self::AccountInfo => "Number, name and region of the account.",
            Self::Suspension => "The account has this active suspension.",
            Self::BalanceDue => "Amount due, in the currency.",
        }
    }

    /// The unit of the values.
    #[must_use]
    pub const fn unit(self) -> Unit {
        match self {
            Self::LineActive | Self::LineOptedIn => Unit::Flag,
            Self::LineEnd | Self::LineUpdated | Self::LineCycleStart | Self::LineCycleEnd => {
                Unit::Seconds
            }
            Self::LineUsed
            | Self::LineLimit
            | Self::LineOverage
            | Self::PoolUsed
            | Self::PoolLimit => Unit::Bytes,
            _ => Unit::None,
        }
    }

    /// The type.
    #[must_use]
    pub const fn family_type(self) -> FamilyType {
        match self {
            Self::TerminalInfo | Self::LineInfo | Self::AccountInfo => FamilyType::Info,
            _ => FamilyType::Gauge,
        }
    }
}
