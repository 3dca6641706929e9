//! Asks the receiver of a destination with an empty request what it answers, and which version of the protocol it speaks.

use std::sync::Arc;

use super::client::{Client, ClientContext, Message, Outcome};
use super::decoder::labels;
use crate::history::{Encoder, Protocol};
use crate::recording::status::DestinationStatus;
use crate::remote_write::{Class, Destination, Hold, ProtocolChoice, classify};

/// Sends an empty request, with the destination's own TLS settings, credentials, headers, tenant and time limit: in version 2.0, and then in
/// 1.0 if the receiver does not support that and the destination permits it. `tenant` is the tenant of the account, for destinations with
/// the tenant `account`. Returns a text that says what the receiver answered and which version it speaks.
///
/// # Errors
/// A text that says why the receiver would not store samples. Neither text has secrets, and both are bounded and on one line.
pub async fn inquire(
    destination: &Arc<Destination>,
    tenant: &str,
    context: ClientContext,
) -> Result<String, String> {
    let status = Arc::new(DestinationStatus::new(Arc::clone(destination)));
    let client = Client::new(status, context);
    let first = destination.protocol.first();
    let outcome = ask(&client, destination, tenant, first).await?;
    let class = classify(&outcome.answer(), first);
    if class == Class::Unsupported && destination.protocol == ProtocolChoice::Auto {
        let outcome = ask(&client, destination, tenant, Protocol::V1).await?;
        let class = classify(&outcome.answer(), Protocol::V1);
        return verdict(&outcome, class, Protocol::V1, destination.protocol);
    }
    verdict(&outcome, class, first, destination.protocol)
}

async fn ask(
    client: &Client,
    destination: &Destination,
    tenant: &str,
    protocol: Protocol,
) -> Result<Outcome, String> {
    let request = Encoder::new(&labels(destination)).rows(protocol, []);
    let request = request.map_err(|error| error.to_string())?;
    let message = Message {
        protocol,
        body: &request.body,
        attempt: 0,
        tenant,
    };
    let sent = client.send(&message).await;
    sent.map_err(|error| format!("{error}; {}", Hold::Files.advice()))
}

/// What an answer to an empty request means.
fn verdict(
    outcome: &Outcome,
    class: Class,
    protocol: Protocol,
    choice: ProtocolChoice,
) -> Result<String, String> {
    let text = &outcome.text;
    let advice = match class {
        Class::Done => {
            let version = match protocol {
                Protocol::V1 => "1.0",
                Protocol::V2 => "2.0",
            };
            return Ok(format!(
                "answers {text}, and supports remote write {version}"
            ));
        }
        Class::Hold(hold) => hold.advice(),
        Class::Unsupported if choice == ProtocolChoice::Auto => Hold::NoVersion.advice(),
        Class::Unsupported => Hold::Protocol.advice(),
        Class::NotStored => "the receiver accepts samples and drops them: correct its HA settings",
        Class::TooLarge | Class::Bad | Class::Time(_) => "the receiver refuses an empty request",
        Class::Retry { .. } => {
            "the service would repeat its requests until the receiver takes them"
        }
    };
    Err(format!("{text}; {advice}"))
}
