//! Attacks by Starlink's answers: small when compressed, but large or slow to decode.

use std::fmt::Write;
use std::time::SystemTime;

use crate::environment::Environment;
use crate::starlink::Answer;
use crate::{Failure, Scale};

/// The largest decompressed answer that the service accepts.
const MOST_TEXT: usize = 64 << 20;

/// The size of an attack's answer in bytes.
fn text(environment: &Environment) -> usize {
    match environment.scale {
        Scale::Short => MOST_TEXT / 4,
        Scale::Full => MOST_TEXT - (1 << 20),
    }
}

/// Now, in nanoseconds since 1970.
fn now() -> Result<u128, Failure> {
    Ok(SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_nanos())
}

/// Sends an answer, which the service may accept or reject.
fn play(environment: &Environment, json: &str) -> Result<(), Failure> {
    environment.starlink.push(Answer::new(json.as_bytes())?);
    environment.settled()
}

/// An answer that repeats a member.
///
/// # Errors
/// The service does not recover.
pub fn repeated_members(environment: &Environment) -> Result<(), Failure> {
    for member in [
        r#""values":[[0]],"#,
        r#""columnNamesByDeviceType":{"u":["a"]},"#,
    ] {
        let members = member.repeat(text(environment) / member.len());
        play(
            environment,
            &format!(r#"{{"data":{{{members}"values":[]}}}}"#),
        )?;
        let members = member.repeat(16);
        let data = format!(r#""data":{{{members}"values":[]}},"#);
        let data = data.repeat(text(environment) / data.len());
        play(environment, &format!(r#"{{{data}"metadata":{{}}}}"#))?;
    }
    environment.report()
}

/// A row with the largest number of columns, followed by rows of many devices without values.
///
/// # Errors
/// The service does not recover.
pub fn many_columns(environment: &Environment) -> Result<(), Failure> {
    let columns = |wide: usize| -> String {
        let fields = (0..wide).map(|number| format!(r#","Field{number}""#));
        format!(
            r#""columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId"{}]}}"#,
            fields.collect::<String>()
        )
    };
    let numbers = ",1.5".repeat(1021);
    let devices = match environment.scale {
        Scale::Short => 20_000,
        Scale::Full => 65_000,
    };
    for round in 0..2 {
        let now = now()?;
        let mut rows = format!(r#"["u",{now},"wide"{numbers}]"#);
        for device in 0..devices {
            write!(rows, r#",["u",{now},"ut-{round}-{device}",{device}]"#)?;
        }
        let json = format!(r#"{{"data":{{"values":[{rows}],{}}}}}"#, columns(1021));
        play(environment, &json)?;
    }
    Ok(())
}

/// An answer that consists only of names of columns, types and alerts.
///
/// # Errors
/// The service does not recover.
pub fn much_metadata(environment: &Environment) -> Result<(), Failure> {
    let text = text(environment);
    let mut names = String::new();
    while names.len() < text / 2 {
        write!(names, r#","Column{}""#, names.len())?;
    }
    let columns = format!(
        r#"{{"data":{{"values":[],"columnNamesByDeviceType":{{"u":["DeviceType","UtcTimestampNs","DeviceId"{names}]}}}}}}"#
    );
    play(environment, &columns)?;
    let mut types = String::from(r#""u":["a"]"#);
    while types.len() < text {
        write!(types, r#","t{}":["a","b"]"#, types.len())?;
    }
    let types = format!(r#"{{"data":{{"values":[],"columnNamesByDeviceType":{{{types}}}}}}}"#);
    play(environment, &types)?;
    let mut alerts = String::from(r#""0":"none""#);
    while alerts.len() < text {
        write!(alerts, r#","{0}":"alert_{0}""#, alerts.len())?;
    }
    let alerts = format!(
        r#"{{"data":{{"values":[]}},"metadata":{{"enums":{{"AlertsByDeviceType":{{"u":{{{alerts}}}}}}}}}}}"#
    );
    play(environment, &alerts)?;
    environment.report()
}

/// Column lists that change with every answer, new texts in every answer, and colliding names.
///
/// # Errors
/// The service does not recover.
pub fn changing_columns(environment: &Environment) -> Result<(), Failure> {
    let rounds = match environment.scale {
        Scale::Short => 20,
        Scale::Full => 200,
    };
    for round in 0..rounds {
        let now = now()?;
        let mut types = String::new();
        let mut rows = String::new();
        for number in 0..64 {
            let fields: String = (0..if number % 8 == 0 { 1021 } else { 16 })
                .map(|field| format!(r#","Field.{}-{field}""#, round % 3 * field))
                .collect();
            let separator = if number == 0 { "" } else { "," };
            write!(
                types,
                r#"{separator}"x{number}":["DeviceType","UtcTimestampNs","DeviceId"{fields}]"#
            )?;
            write!(
                rows,
                r#"{separator}["x{number}",{now},"churn-{round}",{round},"text {round} {number}"]"#
            )?;
        }
        let json =
            format!(r#"{{"data":{{"values":[{rows}],"columnNamesByDeviceType":{{{types}}}}}}}"#);
        play(environment, &json)?;
    }
    Ok(())
}
