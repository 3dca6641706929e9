//! The samples of rows are those that a scrape shows after them.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::exposition::{Exposition, Format, Shard, Telemetry};
use crate::fleet::{Coverage, Fleet, FleetOptions};
use crate::time::Moment;

/// The lines of a scrape, as samples at the times of the devices' rows. Without `starlink_online` and the account of devices, which are sent apart.
fn scraped(batch: &Batch, times: &BTreeMap<String, i64>) -> Samples {
    let options = FleetOptions {
        include_routers: true,
        ..FleetOptions::STANDARD
    };
    let mut fleet = Fleet::new(options);
    let account = fleet.account(&"default".into()).unwrap();
    let to = Moment::from_millis(1_000_000);
    let plan = fleet.plan(account, batch, to, i64::MAX);
    let covers = Duration::ZERO;
    fleet.commit(&plan, Coverage { to, covers });
    let snapshot = Arc::new(fleet.snapshot());
    let telemetry = Telemetry::new(Format::Prometheus, snapshot, Shard::WHOLE);
    let text = Exposition::new(telemetry, Vec::new()).flatten();
    let text = String::from_utf8(text.collect()).unwrap();
    let series = OwnSeries::new("".into(), Arc::default());
    let mut set = series.empty_set(0);
    series.scrape(0).chunk(&text, &mut set);
    let request = Encoder::new(&DestinationLabels::none()).own(Protocol::V1, &set);
    let mut samples = Samples::new();
    for series in decode_request(Protocol::V1, &request.unwrap()) {
        let name = text_of(&series.labels);
        let is_other = ["starlink_online{", "starlink_device_account{"];
        if !is_other.iter().any(|other| name.starts_with(other)) {
            let id = series.labels.iter().find(|(name, _)| name == "deviceID");
            let time = times[&id.unwrap().1];
            samples.insert((name, time), series.samples[0].1);
        }
    }
    samples
}

#[test]
fn samples_equal_those_of_a_scrape() {
    let mut world = World::new();
    let [a, b] = [at(0), at(7)];
    let rows = [
        // The example of docs/METRICS.md, and what is special in other cells.
        format!(r#"["u",{a},"ut1",0.115,"21","2025.08.11",["x",null,"y"],599686042433355775,[82,"99","82",83]]"#),
        format!(r#"["i",{b},"ip-ut1","ACC-1","other",["192.0.2.1"],["2001:db8:1::/64"],[]]"#),
        format!(r#"["u",{b},"ut2 \"é\"\n",true,null,"",null,"85283473fffffff",null]"#),
        format!(r#"["i",{a},"ut2 \"é\"\n",7,null,["192.0.2.9","192.0.2.1","192.0.2.9"],"::1","x"]"#),
        format!(r#"["r",{a},"Router-1",-1e-9,"7.",[82,55]]"#),
        format!(r#"["x",{a},"ut1",[1]]"#),
        format!(r#"["u",{a},"ut3",[],{{}},1,"a;b",7,"pending"]"#),
    ]
    .join(",");
    let batch = world.batch(&rows);
    let times = [("ut1", 0), ("ut2 \"é\"\n", 7), ("Router-1", 0), ("ut3", 0)];
    let times = times.map(|(id, time)| (id.to_owned(), START + time * 1000));
    let expected = scraped(&batch, &times.into());
    let slice = world.slice(0, Content::Answer(&batch));
    assert_eq!(slice.counts, Counts::default());
    let found = world.samples(&[&slice]);
    assert_eq!(found.len(), expected.len(), "{found:#?} {expected:#?}");
    // An info key that equals a label of the destination gets a prefix.
    let is_it = |name: &str| name.starts_with("starlink_info{") && name.contains("ut1");
    let info = found.keys().find(|(name, _)| is_it(name)).unwrap();
    let labels = r#"starlink_info{accountnumber="ACC-1",deviceID="ut1",device_type="UserTerminal",field_job="x;y",version="2025.08.11"}"#;
    assert_eq!(info.0, labels);
    let renamed: Samples = found
        .into_iter()
        .map(|((name, time), value)| ((name.replace("field_job=", "job="), time), value))
        .collect();
    assert_eq!(renamed, expected);
}

#[test]
fn invalid_rows_are_counted() {
    let mut world = World::with(|options| options.include_routers = false);
    let [now, future, early] = [at(0), at(601), 1_500_000_000_000_000_000];
    let rows = [
        format!(r#"["u",{now},"ut1",1]"#),
        format!(r#"["u",{future},"ut1",1]"#),
        format!(r#"["i",{future},"ut1"]"#),
        format!(r#"["u",{early},"ut1",1]"#),
        format!(r#"["u","{now}","ut1",1]"#),
        format!(r#"["u",{now},"",1]"#),
        format!(r#"["u",{now},7,1]"#),
        format!(r#"["i",{now},"ip-"]"#),
        format!(r#"["z",{now},"ut1"]"#),
        format!(r#"[7,{now},"ut1"]"#),
        format!(r#"["u",{now},"{}",1]"#, "x".repeat(1025)),
        "7".to_owned(),
        format!(r#"["r",{now},"Router-1",1]"#),
    ];
    let batch = world.batch(&rows.join(","));
    let slice = world.slice(0, Content::Answer(&batch));
    let expected = Counts {
        duplicate: 0,
        future: 2,
        rejected: 9,
    };
    assert_eq!(slice.counts, expected);
    let samples = [
        sample("starlink_Speed", 0, 1.0),
        sample("starlink_last_report_timestamp_seconds", 0, 1_700_000_000.0),
    ];
    assert_eq!(world.samples(&[&slice]), samples.into());
}

#[test]
fn only_wanted_metrics_are_sent() {
    let row = format!(
        r#"["u",{},"ut1",1,2,"v",null,599686042433355775,[82,83]]"#,
        at(0)
    );
    let list = |texts: &[&str]| {
        let texts = texts.iter();
        let anchored = |text: &&str| crate::telemetry::fields::anchored(text).unwrap();
        texts.map(anchored).collect::<Vec<_>>()
    };
    for (keep, drop, expected) in [
        (&["starlink_Sp.*"][..], &[][..], &["starlink_Speed"][..]),
        (
            &[],
            &["starlink_[HSLl].*", "starlink_alert_active_hot"],
            &["starlink_alert_active_pending", "starlink_info"],
        ),
        (&[], &[".*"], &[]),
    ] {
        let mut world = World::with(|options| {
            options.names = NameFilter::new(list(keep), list(drop));
        });
        let samples = world.answer(0, &row);
        let names: Vec<_> = samples
            .keys()
            .map(|(name, _)| name.split_once('{').unwrap().0)
            .collect();
        assert_eq!(names, expected, "{keep:?} {drop:?}");
    }
}
