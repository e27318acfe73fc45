//! The data directory and the port.

use std::net::{SocketAddr, TcpListener};

use ferry_client::{ServerUrl, status::StatusClient};
use ferry_hub::{
    config::Config,
    data_dir::{
        self, SchemaStep,
        lineage::{LineageAnswer, LineageVerdict},
    },
};

use super::{Findings, Level};

pub(super) async fn check(config: &Config, findings: &mut Findings) {
    data(config, findings);
    port(config, findings).await;
}

fn data(config: &Config, findings: &mut Findings) {
    let dir = &config.process.data_dir;
    if !dir.exists() {
        return findings.add(Level::Ok, "data", format!("{}: the first start makes it", dir.display()));
    }
    match data_dir::look_at(dir) {
        Ok(()) => findings.add(Level::Ok, "data", format!("{} is closed to others", dir.display())),
        Err(error) => findings.add(Level::Fail, "data", error.to_string()),
    }
    lineage(config, findings);
    match data_dir::schema(dir) {
        Ok(None) => findings.add(Level::Ok, "schema", "there is no hub yet"),
        Ok(Some(schema)) => match schema.step {
            SchemaStep::Current | SchemaStep::Compatible => findings.add(Level::Ok, "schema", "nothing is to be migrated"),
            SchemaStep::Migrate(count) => findings.add(
                Level::Warn,
                "schema",
                format!("the next start makes {count} steps, behind which older versions cannot go: back up before"),
            ),
        },
        Err(error) => findings.add(Level::Fail, "schema", error.to_string()),
    }
}

/// Whether it is the hub that clients know.
fn lineage(config: &Config, findings: &mut Findings) {
    let dir = &config.process.data_dir;
    let found = match data_dir::lineage::lineage(dir) {
        Ok(found) => found,
        Err(error) => return findings.add(Level::Fail, "lineage", error.to_string()),
    };
    let verdict = found.verdict;
    let sign = verdict.sign().map_or("", |sign| sign.as_str());
    let restored =
        "clients are told at the next start, send again what they hold, and event stores wait for you";
    match (verdict, config.process.on_copied) {
        (LineageVerdict::First, _) => findings.add(Level::Ok, "lineage", "no run is named yet: the next start does it"),
        (LineageVerdict::Same, _) if found.birth_is_told() => {
            findings.add(Level::Ok, "lineage", "the data is where its hub wrote it");
        }
        (LineageVerdict::Same, _) => findings.add(
            Level::Warn,
            "lineage",
            "the file system does not tell when files were made: a copy of the data directory is noticed by clients only. \
             After putting one back, run: ferry admin lineage restored",
        ),
        (LineageVerdict::Moved, _) => findings.add(Level::Ok, "lineage", "the hub was moved, as its operator says"),
        (LineageVerdict::Copied(_), Some(answer)) => {
            let (is, next) = match answer {
                LineageAnswer::Moved => ("moved", "the next start goes on as if nothing had been copied"),
                LineageAnswer::Restored => ("restored", restored),
            };
            findings.add(Level::Warn, "lineage", format!("{sign}; on_copied is {is}: {next}"));
        }
        (LineageVerdict::Copied(_), None) => findings.add(
            Level::Fail,
            "lineage",
            format!(
                "{sign}; the hub does not start until you say what it is: ferry admin lineage moved, or restored if clients may \
                 have seen more than it holds"
            ),
        ),
        (LineageVerdict::Restored(_), _) => {
            findings.add(Level::Warn, "lineage", format!("an older state than clients have seen ({sign}): {restored}"));
        }
    }
}

/// Whether the hub answers at its address, or could.
async fn port(config: &Config, findings: &mut Findings) {
    let address = config.listener.listen;
    if TcpListener::bind(address).is_ok() {
        let dir = &config.process.data_dir;
        if !data_dir::is_held(dir).unwrap_or(false) {
            return findings.add(Level::Ok, "port", format!("{address} is free: no hub runs"));
        }
        let told = format!(
            "{address} is free, but a hub runs on {}: ask with its own --listen or --config, or stop it",
            dir.display()
        );
        return findings.add(Level::Warn, "port", told);
    }
    let scheme = if config.listener.tls.is_some() { "https" } else { "http" };
    let Ok(server) = format!("{scheme}://{}", reached_at(address)).parse::<ServerUrl>() else { return };
    let dir = &config.process.data_dir;
    // Nobody holds it, so that whoever answers is a hub over other data: that all is well here says nothing of that one.
    let is_elsewhere = !data_dir::is_held(dir).unwrap_or(dir.exists());
    let elsewhere = format!(
        "but no hub runs on {}, which is looked at here, and not its data and settings: name those with --data-dir and \
         --config, such as sudo -u ferry ferry doctor --config /etc/ferry/ferry.toml --data-dir /var/lib/ferry",
        dir.display()
    );
    if config.listener.tls.is_some() {
        // The certificate names a host, not this address.
        return if is_elsewhere {
            findings.add(Level::Warn, "port", format!("{address} is in use, {elsewhere}"));
        } else {
            findings.add(Level::Ok, "port", format!("{address} is in use, by the hub if it runs"));
        };
    }
    match StatusClient::new(&server).ready().await {
        Ok(()) if is_elsewhere => {
            findings.add(Level::Warn, "port", format!("a hub answers at {address}, {elsewhere}"));
        }
        Ok(()) => findings.add(Level::Ok, "port", format!("a hub answers at {address}, and is ready")),
        Err(error) => findings.add(
            Level::Fail,
            "port",
            format!("{}: if it is another program, stop it or choose another --listen", error.message),
        ),
    }
}

/// Where this machine reaches what listens at `address`.
fn reached_at(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
