//! The checks of the fuzz targets: each takes any bytes and panics if an invariant is violated. The integration tests also run them
//! on the corpus.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use starlink_telemetry::config::{Settings, Sources};
use starlink_telemetry::exposition::{
    Exposition, Format, InfoFormat, Shard, Telemetry, negotiate, requested,
};
use starlink_telemetry::fleet::{Fleet, FleetOptions, Form, Retention, Snapshot};
use starlink_telemetry::http::AllowedHosts;
use starlink_telemetry::time::Moment;
use starlink_telemetry::view::{DeviceQuery, NamedFleet, find, list};
use starlink_telemetry::web_config::Gate;

use crate::model::reader::{Body, read};
use crate::pipeline::Pipeline;

const FORMS: [Form; 3] = [
    Form::WithoutAccounts,
    Form::WithAccounts,
    Form::WithInventories,
];
const FORMATS: [Format; 3] = [Format::OpenMetrics, Format::Prometheus, Format::Mixed];

/// Options that include everything, with short ages.
fn options() -> FleetOptions {
    FleetOptions {
        include_routers: true,
        retention: Retention {
            forget_after: Duration::from_secs(3600),
            ..FleetOptions::STANDARD.retention
        },
        ..FleetOptions::STANDARD
    }
}

/// Scrapes in all formats, checks that they can be parsed, and that the shards together equal the whole.
fn bodies(pipeline: &Pipeline) -> [Body; 3] {
    let snapshot = Arc::new(pipeline.fleet.snapshot());
    FORMATS.map(|format| {
        let whole = parsed(&snapshot, format, Shard::WHOLE);
        let samples: usize = [("0", "2"), ("1", "2")]
            .into_iter()
            .filter_map(|(shard, total)| Shard::requested(Some(shard), Some(total)).ok())
            .map(|shard| parsed(&snapshot, format, shard).samples.len())
            .sum();
        assert_eq!(samples, whole.samples.len(), "shards make up the whole");
        whole
    })
}

fn text(snapshot: &Arc<Snapshot>, format: Format, shard: Shard) -> Vec<u8> {
    let telemetry = Telemetry::new(format, Arc::clone(snapshot), shard);
    Exposition::new(telemetry, Vec::new()).flatten().collect()
}

fn parsed(snapshot: &Arc<Snapshot>, format: Format, shard: Shard) -> Body {
    let text = text(snapshot, format, shard);
    let text = str::from_utf8(&text).unwrap_or_else(|error| panic!("{error}"));
    read(text, format).unwrap_or_else(|rule| panic!("{rule}\n{text}"))
}

/// Checks answers. They are separated by a 0 byte; the first byte of each is the number of minutes that pass before it.
pub fn batches(data: &[u8]) {
    bodies(&played(data));
}

/// The service's part of [`batches`], whose memory and time are limited.
pub fn play_batches(data: &[u8]) {
    drop(played(data));
}

fn played(data: &[u8]) -> Pipeline {
    let mut pipeline = Pipeline::new(options());
    for answer in data.split(|byte| *byte == 0) {
        let Some((minutes, answer)) = answer.split_first() else {
            continue;
        };
        pipeline.now = pipeline
            .now
            .after(Duration::from_secs(60) * u32::from(*minutes % 16));
        pipeline.fleet.expire(pipeline.now);
        pipeline.answer(answer.to_vec());
        pipeline.fleet.expire(pipeline.now);
    }
    pipeline
}

/// A fleet of three devices, to query.
fn fleet() -> NamedFleet {
    let mut pipeline = Pipeline::new(options());
    pipeline.now = Moment::at(Duration::from_secs(1));
    pipeline.answer(
        br#"{"data":{"values":[["u",1756537212000000000,"a",1,[82]],["u",1756537212000000000,"b",2,[]],["u",1756537212000000000,"c",null,[]]],
        "columnNamesByDeviceType":{"u":["DeviceType","UtcTimestampNs","DeviceId","PingLatencyMsAvg","ActiveAlerts"]}}}"#
        .to_vec(),
    );
    NamedFleet {
        snapshot: Arc::new(pipeline.fleet.snapshot()),
        names: Arc::default(),
        now: pipeline.now,
        unix_now: 0.0,
    }
}

/// Checks requests. The bytes are the target, `path?query`, and after a 0 byte the host.
pub fn query(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (target, host) = text.split_once('\0').unwrap_or((&text, "localhost"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let fleet = fleet();
    if let Ok(query) = DeviceQuery::parse(query) {
        let page = list(&fleet, &query);
        let shown = serde_json::to_string(&page).unwrap_or_else(|error| panic!("{error}"));
        assert!(
            shown.len() < 64 * 1024,
            "the response for three devices is small"
        );
        let again = DeviceQuery::parse(&query.to_text());
        assert_eq!(again.as_ref(), Ok(&query), "a link leads to the same");
    }
    let device = path.strip_prefix("/api/v1/devices/").unwrap_or(path);
    let _ = find(&fleet, device, Some(query));
    let mut parameters = query.split('&');
    let _ = Shard::requested(parameters.next(), parameters.next());
    if let Ok(allowed) = AllowedHosts::parse(query) {
        let named = query.trim().trim_end_matches('.').to_ascii_lowercase();
        let is_one_name = !named.is_empty() && !named.contains([',', '*']);
        assert!(
            !is_one_name || allowed.allows(&named),
            "{named:?} is the allowed host"
        );
    }
    let none = AllowedHosts::default();
    let is_rebound = host.ends_with(".example") && none.allows(host);
    assert!(!is_rebound, "{host:?}");
}

/// Checks negotiation. The bytes are an Accept header, and parameters of a query.
pub fn accept(data: &[u8]) {
    let header = String::from_utf8_lossy(data);
    let negotiated = |how| negotiate(Some(&header), how);
    assert_eq!(negotiated(InfoFormat::LineProtocol), Format::Mixed);
    assert_ne!(negotiated(InfoFormat::Labels), Format::Mixed);
    let lower = header.to_ascii_lowercase();
    let names_ours = ["openmetrics", "text/plain", "protobuf"];
    if !names_ours.iter().any(|name| lower.contains(name)) {
        assert_eq!(negotiated(InfoFormat::Auto), Format::Mixed, "{header}");
    }
    if !lower.contains("openmetrics") {
        assert_ne!(
            negotiated(InfoFormat::Auto),
            Format::OpenMetrics,
            "{header}"
        );
    }
    let is_known = ["openmetrics", "prometheus", "mixed"].contains(&&*header);
    assert_eq!(requested(&header).is_ok(), is_known, "{header}");
    let (shard, total) = header.split_once('/').unwrap_or((&header, "3"));
    let _ = Shard::requested(Some(shard), Some(total));
}

/// Checks escaping. The text is used for all names and texts of Starlink, and must be unchanged after parsing.
pub fn escaping(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let quoted = serde_json::Value::from(&*text).to_string();
    let answer = format!(
        r#"{{"data":{{"values":[["u",1700000000000000001,{quoted},1,{quoted},[{quoted}]],["i",1700000000000000001,{quoted},{quoted},["192.0.2.1"]]],
        "columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId",{quoted},"Text","ActiveAlerts"],
        "i":["DeviceType","UtcTimestampNs","DeviceId",{quoted},"Ipv4"]}}}},
        "metadata":{{"enums":{{"DeviceType":{{"u":{quoted}}},"AlertsByDeviceType":{{"u":{{{quoted}:{quoted}}}}}}}}}}}"#
    );
    let mut pipeline = Pipeline::new(options());
    pipeline.answer(answer.into_bytes());
    let [open, prometheus, _] = bodies(&pipeline);
    // The replacement character marks a string that could not be decoded.
    if text.is_empty() || text.len() > 256 || text.contains(char::REPLACEMENT_CHARACTER) {
        return;
    }
    for body in [open, prometheus] {
        let has = |key: &str, value: &str| {
            let mut labels = body.samples.iter().flat_map(|(series, _)| &series.1);
            labels.any(|(known, label)| known == key && label == value)
        };
        assert!(has("deviceID", &text), "{text:?}");
        assert!(has("device_type", &text), "{text:?}");
    }
}

/// Checks settings. They are separated by a 0 byte and followed by a TOML, a YAML and a web configuration file.
pub fn settings(data: &[u8]) {
    const NAMES: [&str; 18] = [
        "CLIENT_ID",
        "BATCH_SIZE",
        "MAX_LINGER",
        "API_URL",
        "TOKEN_URL",
        "METRICS_ADDRESS",
        "METRICS_PORT",
        "INFO_FORMAT",
        "INCLUDE_ROUTERS",
        "STALE_AFTER",
        "MAX_DEVICES",
        "LOG_FORMAT",
        "RUST_LOG",
        "STATE_INTERVAL",
        "ALLOW_INSECURE_API",
        "HTTPS_PROXY",
        "NO_PROXY",
        "PROBES_PORT",
    ];
    // No escape ends with a capital letter, so no escape can form the needle together with the following text.
    const NEEDLE: &str = "N33dle-s3cret";
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split('\0');
    let named = NAMES.iter().zip(parts.by_ref());
    let mut environment: Vec<_> = named
        .map(|(name, value)| ((*name).to_owned(), value.into()))
        .collect();
    environment.push(("CLIENT_SECRET".to_owned(), NEEDLE.into()));
    let mut files = [None, None, None];
    for ((part, suffix), place) in parts.zip([".toml", ".yaml", ".web"]).zip(&mut files) {
        let file = tempfile::Builder::new().suffix(suffix).tempfile();
        let Ok(mut file) = file else { return };
        if file.write_all(part.as_bytes()).is_ok() {
            *place = Some(file);
        }
    }
    let [toml, yaml, web] = files;
    if let Some(web) = web {
        let path = web.path().as_os_str().to_owned();
        environment.push(("WEB_CONFIG_FILE".to_owned(), path));
        if let Err(error) = Gate::load(web.path()) {
            assert_eq!(error.to_string().lines().count(), 1, "{error}");
        }
    }
    for file in [None, toml, yaml] {
        let config_file = file.as_ref().map(|file| file.path().to_owned());
        let settings = Settings::from_sources(Sources {
            config_file,
            environment: environment.clone(),
            ..Sources::default()
        });
        let told = match settings {
            Ok(settings) => format!("{}{settings:?}", settings.effective().concat()),
            Err(errors) => errors.to_string(),
        };
        assert!(!told.is_empty());
        assert!(text.contains(NEEDLE) || !told.contains(NEEDLE), "{told}");
    }
}

/// The service's part of [`state`]: reads a state file.
pub fn thaw(data: &[u8]) {
    for form in FORMS {
        drop(Fleet::thaw(options(), Moment::default(), form, data));
    }
}

/// Checks state files. If the bytes are a valid fleet, it can be scraped, updated and written again.
pub fn state(data: &[u8]) {
    for form in FORMS {
        if let Ok(fleet) = Fleet::thaw(options(), Moment::default(), form, data) {
            use_state(fleet);
        }
    }
}

fn use_state(fleet: Fleet) {
    let mut pipeline = Pipeline::new(options());
    pipeline.fleet = fleet;
    pipeline.fleet.expire(pipeline.now);
    bodies(&pipeline);
    let answer = br#"{"data":{"values":[["u",1700000000000000001,"a",1]],"columnNamesByDeviceType":{"u":["DeviceType","UtcTimestampNs","DeviceId","N"]}}}"#;
    pipeline.answer(answer.to_vec());
    bodies(&pipeline);
    let mut again = Vec::new();
    let written = pipeline.fleet.freeze().write(&mut again);
    assert!(written.is_ok());
    assert!(Fleet::thaw(options(), Moment::default(), Form::WithInventories, &again).is_ok());
}
