//! The parts of the management API, and their requests.

use super::super::API_PATH;

/// A request of the management API. Faults and scripts are those of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// `GET account`
    Account,
    /// `GET user-terminals?page=`
    Terminals,
    /// `GET service-lines?page=`
    ServiceLines,
    /// `POST data-usage/query?page=&limit=`
    DataUsage,
    /// `GET billing/balance`
    Balance,
    /// `POST telemetry/query`
    Telemetry,
}

impl Part {
    /// All parts.
    pub const ALL: [Self; 6] = [
        Self::Account,
        Self::Terminals,
        Self::ServiceLines,
        Self::DataUsage,
        Self::Balance,
        Self::Telemetry,
    ];

    /// The method of its requests.
    pub fn method(self) -> &'static str {
        match self {
            Self::DataUsage | Self::Telemetry => "POST",
            _ => "GET",
        }
    }

    /// The path of its requests: `/api/public/v2/…`.
    pub fn path(self) -> String {
        let name = match self {
            Self::Account => "account",
            Self::Terminals => "user-terminals",
            Self::ServiceLines => "service-lines",
            Self::DataUsage => "data-usage/query",
            Self::Balance => "billing/balance",
            Self::Telemetry => "telemetry/query",
        };
        format!("{API_PATH}/v2/{name}")
    }

    /// The part with this path.
    pub(in crate::simulator) fn with_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.path() == path)
    }

    /// The member that identifies an entry of a list.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Terminals => "userTerminalId",
            _ => "serviceLineNumber",
        }
    }
}
