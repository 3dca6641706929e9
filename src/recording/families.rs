//! The metrics of journals and senders.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::status::{DestinationStatus, JournalStatus, Operation, SenderStatus, Statuses};
use crate::exposition::{Kind, OwnFamily};
use crate::remote_write::{RowReason, SampleReason};
use crate::self_metrics::{counter, counters, gauge};
use crate::supervise::ActorStatus;

impl Statuses {
    /// The journals and senders of one account. Its destinations are left out: their metrics are those of all accounts.
    #[must_use]
    pub fn of_account(&self, account: &str) -> Self {
        let journals = self.journals.iter();
        let senders = self.senders.iter();
        Self {
            journals: journals
                .filter(|journal| &*journal.account == account)
                .cloned()
                .collect(),
            destinations: Vec::new(),
            senders: senders
                .filter(|sender| &*sender.account == account)
                .cloned()
                .collect(),
        }
    }

    /// All families except those of actors, in a fixed order. Empty if nothing is recorded.
    #[must_use]
    pub fn families(&self) -> Vec<OwnFamily> {
        let mut families = OwnFamily::merged(self.journals.iter().map(|status| journal(status)));
        let senders = self.senders.iter().map(|status| sender(status));
        families.extend(OwnFamily::merged(senders));
        let destinations = self.destinations.iter().map(|status| destination(status));
        families.extend(OwnFamily::merged(destinations));
        families
    }

    /// The actors by account and role. An account has a RemoteWriteActor for each destination.
    #[must_use]
    pub fn actors(&self) -> BTreeMap<(&Arc<str>, &'static str), Vec<&ActorStatus>> {
        let journals = self.journals.iter().map(|one| (&one.account, &one.actor));
        let senders = self.senders.iter().map(|one| (&one.account, &one.actor));
        let mut actors: BTreeMap<_, Vec<&ActorStatus>> = BTreeMap::new();
        for (account, actor) in journals.chain(senders) {
            let key = (account, actor.role().name());
            actors.entry(key).or_default().push(actor);
        }
        actors
    }
}

fn journal(status: &JournalStatus) -> Vec<OwnFamily> {
    let lost = OwnFamily::new(
        Kind::Counter,
        "starlink_exporter_journal_rows_lost_total",
        "Rows that were in the journal and can no longer be read, by reason.",
    );
    let families = [
        gauge(
            "starlink_exporter_journal_bytes",
            "Size of the segments of the account's journal.",
            &status.bytes,
        ),
        gauge(
            "starlink_exporter_journal_records",
            "Records in the account's journal.",
            &status.records,
        ),
        gauge(
            "starlink_exporter_journal_oldest_record_timestamp_seconds",
            "When the oldest record of the journal was received, in seconds since 1970. Absent while the journal is empty.",
            &status.oldest_record,
        ),
        gauge(
            "starlink_exporter_journal_durable",
            "Whether acknowledged answers are on disk: 0 while the journal cannot be written.",
            &status.durable,
        ),
        status.append_duration.family(
            "starlink_exporter_journal_append_duration_seconds",
            "Time to write an answer to the journal and to sync it.",
        ),
        counters(
            "starlink_exporter_journal_failures_total",
            "Operations of the journal that failed, by operation.",
            "operation",
            Operation::ALL.iter().map(|operation| operation.name()),
            Operation::ALL.map(|operation| status.failures(operation)),
        ),
        lost.labelled("reason", "gap", status.rows_lost_in_gaps.value()),
    ];
    let families = families.into_iter();
    families
        .map(|family| family.of_account(&status.account))
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "a sample is an f64")]
fn sender(status: &SenderStatus) -> Vec<OwnFamily> {
    let requests = OwnFamily::new(
        Kind::Counter,
        "starlink_exporter_remote_write_requests_total",
        "Requests to the destination by the HTTP status of their response, or by error or timeout.",
    );
    let pending = OwnFamily::new(
        Kind::Gauge,
        "starlink_exporter_remote_write_pending_rows",
        "Rows in the journal that the destination does not have yet.",
    );
    let requests = status
        .requests()
        .into_iter()
        .fold(requests, |family, (code, count)| {
            family.sample("", vec![("code", code.into())], count as f64)
        });
    let families = [
        counter(
            "starlink_exporter_remote_write_samples_total",
            "Samples that the destination has accepted.",
            &status.samples,
        ),
        counters(
            "starlink_exporter_remote_write_samples_failed_total",
            "Samples that the destination has not stored and that are not sent again, by reason.",
            "reason",
            SampleReason::ALL.iter().map(|reason| reason.label()),
            status.samples_failed().map(|(_, count)| count),
        ),
        counters(
            "starlink_exporter_remote_write_rows_dropped_total",
            "Rows that are not sent to the destination, by reason.",
            "reason",
            RowReason::ALL.iter().map(|reason| reason.label()),
            status.rows_dropped().map(|(_, count)| count),
        ),
        requests,
        counter(
            "starlink_exporter_remote_write_bytes_total",
            "Bytes of the bodies of requests to the destination.",
            &status.bytes,
        ),
        counter(
            "starlink_exporter_remote_write_retries_total",
            "Requests that were sent to the destination again.",
            &status.retries,
        ),
        pending.value(status.pending_rows() as f64),
        gauge(
            "starlink_exporter_remote_write_oldest_pending_timestamp_seconds",
            "Time of the oldest row that the destination does not have yet, in seconds since 1970. Absent if it has all rows.",
            &status.oldest_pending,
        ),
        gauge(
            "starlink_exporter_remote_write_shards",
            "Requests that may be in flight to the destination at the same time.",
            &status.shards,
        ),
        gauge(
            "starlink_exporter_remote_write_protocol_version",
            "Version of the remote-write protocol that is used: 1 or 2. Absent before the first response.",
            &status.protocol_version,
        ),
    ];
    let families = families.into_iter();
    families
        .map(|family| family.of_destination(&status.destination))
        .map(|family| family.of_account(&status.account))
        .collect()
}

fn destination(status: &DestinationStatus) -> Vec<OwnFamily> {
    let families = [
        counter(
            "starlink_exporter_remote_write_own_sets_dropped_total",
            "Sets of the exporter's own metrics that could not be sent to the destination in time.",
            &status.own_sets_dropped,
        ),
        status.request_duration.family(
            "starlink_exporter_remote_write_request_duration_seconds",
            "Time from a request to the destination to its response.",
        ),
    ];
    let families = families.into_iter();
    families
        .map(|family| family.of_destination(&status.destination.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::exposition::{Format, write_end};
    use crate::remote_write::parse;

    /// Two accounts that are sent to one destination.
    fn statuses() -> Statuses {
        let file = "remote_write: [{name: central, url: 'http://127.0.0.1/write'}]";
        let destinations = parse(file.as_bytes(), Path::new("/")).unwrap();
        let accounts = ["north", "south"];
        Statuses {
            journals: accounts
                .map(|name| Arc::new(JournalStatus::new(name.into(), Duration::ZERO)))
                .into(),
            destinations: destinations
                .into_iter()
                .map(|one| Arc::new(DestinationStatus::new(Arc::new(one))))
                .collect(),
            senders: accounts
                .map(|name| {
                    let sender = SenderStatus::new(name.into(), "central".into(), Duration::ZERO);
                    Arc::new(sender)
                })
                .into(),
        }
    }

    fn text(families: &[OwnFamily]) -> String {
        let mut out = Vec::new();
        write_end(&mut out, Format::Prometheus, families);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_sample_has_its_account_and_destination_first() {
        let statuses = statuses();
        let journal = &statuses.journals[1];
        journal.bytes.set(512.0);
        journal.failed(Operation::Append);
        let sender = &statuses.senders[0];
        sender.samples.add(7);
        sender.count_failed(SampleReason::Rejected, 2);
        sender.count_dropped(RowReason::MaxAge, 3);
        sender.count_request("503");
        sender.set_pending_rows(11);
        statuses.destinations[0].own_sets_dropped.increment();
        let text = text(&statuses.families());
        let prefix = "starlink_exporter_";
        for line in [
            r#"journal_bytes{account="south"} 512"#,
            r#"journal_durable{account="north"} 1"#,
            r#"journal_append_duration_seconds_count{account="north"} 0"#,
            r#"journal_failures_total{account="south",operation="append"} 1"#,
            r#"journal_failures_total{account="north",operation="append"} 0"#,
            r#"journal_rows_lost_total{account="north",reason="gap"} 0"#,
            r#"remote_write_samples_total{account="north",destination="central"} 7"#,
            r#"remote_write_samples_failed_total{account="north",destination="central",reason="rejected"} 2"#,
            r#"remote_write_rows_dropped_total{account="north",destination="central",reason="max_age"} 3"#,
            r#"remote_write_rows_dropped_total{account="south",destination="central",reason="max_age"} 0"#,
            r#"remote_write_requests_total{account="north",destination="central",code="503"} 1"#,
            r#"remote_write_pending_rows{account="north",destination="central"} 11"#,
            r#"remote_write_own_sets_dropped_total{destination="central"} 1"#,
            r#"remote_write_request_duration_seconds_bucket{destination="central",le="+Inf"} 0"#,
        ] {
            let line = format!("\n{prefix}{line}\n");
            assert!(text.contains(&line), "{line} is missing in\n{text}");
        }
        for unknown in ["journal_records", "oldest_pending", "protocol_version"] {
            assert!(!text.contains(unknown), "{unknown}");
        }
    }

    #[test]
    fn an_account_has_its_own_families_and_without_any_there_are_none() {
        let statuses = statuses();
        let text = text(&statuses.of_account("north").families());
        assert!(text.contains(r#"starlink_exporter_journal_durable{account="north"} 1"#));
        assert!(text.contains(r#"remote_write_samples_total{account="north","#));
        for other in ["south", "own_sets_dropped", "request_duration"] {
            assert!(!text.contains(other), "{other} in\n{text}");
        }
        assert!(Statuses::default().families().is_empty());
        assert!(statuses.of_account("west").families().is_empty());
    }

    #[test]
    fn actors_of_an_account_are_grouped_by_role() {
        let mut statuses = statuses();
        let other = SenderStatus::new("north".into(), "other".into(), Duration::ZERO);
        statuses.senders.push(Arc::new(other));
        let actors = statuses.actors();
        let counts: Vec<_> = actors
            .iter()
            .map(|((account, role), actors)| (&***account, *role, actors.len()))
            .collect();
        let expected = [
            ("north", "journal", 1),
            ("north", "remote_write", 2),
            ("south", "journal", 1),
            ("south", "remote_write", 1),
        ];
        assert_eq!(counts, expected);
    }
}
