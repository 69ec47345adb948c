//! `qarbiter certs`: the life of certificates.

mod nodes;
mod revoke;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use super::complain;
use crate::pki::expiry::{self, WARN_DAYS};
use crate::pki::facts::{Moment, Serial};
use crate::pki::inventory::{Inventory, Known, Role, Sources};
use crate::pki::revoked::{Reason, Revoked};
use crate::pki::seen::Seen;
use crate::pki::{ClusterName, KeyKind, Profile, ServerNickname, Store, Years};

/// What a command ends with when it could not do its work.
type Failure = Box<dyn std::error::Error>;

/// Options of `qarbiter certs`.
#[derive(Debug, clap::Args)]
pub(crate) struct Certs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List all certificates: until when they are valid, and when nodes used them last
    List {
        #[command(flatten)]
        place: Place,
        /// For programs: one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Show all facts of the certificates of one cluster, of the CA or of the server
    Show {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        whose: Whose,
        /// The certificate itself, as PEM; of several the newest
        #[arg(long)]
        pem: bool,
    },
    /// Revoke a cluster's certificates: its nodes lose the arbiter's vote at once.
    ///
    /// All that are known now are revoked. When the cluster is set up again, it gets a new one,
    /// which is not. Without --yes this only shows what would be done.
    Revoke(revoke::Revoke),
    /// Make a new certificate for the server, or for the key that a cluster's nodes have
    Renew {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        whose: Whose,
        /// How many years the new one is valid
        #[arg(long, value_name = "N", default_value_t)]
        years: Years,
        /// Kind of the server's new key: p256 or rsa2048
        #[arg(long, value_name = "KIND", default_value_t)]
        key: KeyKind,
    },
}

/// Where the certificates are.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Directory with the arbiter's certificates [default: where corosync-qnetd has them]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Directory in which the arbiter notes which certificates it has seen
    /// [default: that of --state-dir, or else /var/lib/qarbiter]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    fn state_dir(&self) -> PathBuf {
        let default = || super::certutil::DEFAULT_STATE_DIR.into();
        self.state_dir.clone().unwrap_or_else(default)
    }

    fn data_dir(&self) -> PathBuf {
        let default = || "/var/lib/qarbiter".into();
        let given = self.data_dir.clone().or_else(|| self.state_dir.clone());
        given.unwrap_or_else(default)
    }

    /// Opens the identity and lists all certificates.
    fn open(&self) -> Result<Open, Failure> {
        let store = Store::open(&self.state_dir())?;
        let identity = store.identity();
        let now = Moment::from(SystemTime::now());
        let revoked = Revoked::load(store.path(), &identity.ca)?;
        let (seen, error) = Seen::load(&self.data_dir(), &identity.ca, now);
        let sources = Sources {
            dir: store.path(),
            ca: &identity.ca,
            server: &store.server().certificate,
            revoked: &revoked,
            seen: &seen.to_sorted(),
        };
        let mut inventory = Inventory::read(&sources, now, WARN_DAYS)?;
        inventory
            .complaints
            .extend(error.map(|error| error.to_string()));
        Ok(Open {
            store,
            revoked,
            inventory,
            now,
        })
    }
}

/// An open identity with everything that is known.
struct Open {
    store: Store,
    revoked: Revoked,
    inventory: Inventory,
    now: Moment,
}

impl Open {
    fn cluster(&self, name: &str) -> Result<Vec<&Known>, Failure> {
        let found: Vec<_> = self.inventory.cluster(name).collect();
        if found.is_empty() {
            return Err(format!(
                "no certificate of a cluster {name:?} is known here; \
                 `qarbiter certs list` shows all that are"
            )
            .into());
        }
        Ok(found)
    }

    fn complain(&self) {
        for complaint in &self.inventory.complaints {
            complain("qarbiter certs", complaint);
        }
    }
}

/// Whose certificates are meant.
#[derive(Debug, clap::Args)]
struct Whose {
    /// `ca`, `server`, or a cluster's name; `cluster:NAME` always means a cluster
    #[arg(value_name = "CLUSTER|server|ca")]
    whose: String,
}

impl Whose {
    fn role_and_name(&self) -> (Role, &str) {
        match self.whose.as_str() {
            "ca" => (Role::Ca, ""),
            "server" => (Role::Server, ""),
            other => (
                Role::Cluster,
                other.strip_prefix("cluster:").unwrap_or(other),
            ),
        }
    }
}

impl Certs {
    pub(crate) fn run(self) -> ExitCode {
        let done = match self.command {
            Command::List { place, json } => list(&place, json),
            Command::Show { place, whose, pem } => show(&place, &whose, pem),
            Command::Revoke(revoke) => revoke.run(),
            Command::Renew {
                place,
                whose,
                years,
                key,
            } => renew(
                &place,
                &whose,
                Profile {
                    key,
                    valid_for: years,
                },
            ),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                complain("qarbiter certs", &error);
                ExitCode::FAILURE
            }
        }
    }
}

fn list(place: &Place, json: bool) -> Result<(), Failure> {
    let open = place.open()?;
    let warnings = expiry::warnings(&open.inventory.certificates, open.now, WARN_DAYS);
    let unknown = unknown_but_revoked(&open);
    if json {
        let document = show::document(&open, &warnings, &unknown);
        println!("{}", serde_json::to_string_pretty(&document)?);
        return Ok(());
    }
    print!("{}", show::table(&open));
    if !unknown.is_empty() {
        let numbers: Vec<_> = unknown.iter().map(ToString::to_string).collect();
        println!(
            "Revoked too, but not known otherwise: {}",
            numbers.join(", ")
        );
    }
    for warning in &warnings {
        println!("Warning: {warning}");
    }
    open.complain();
    Ok(())
}

/// Numbers on the list of revoked certificates that belong to none that is known.
fn unknown_but_revoked(open: &Open) -> Vec<Serial> {
    let known: std::collections::HashSet<_> = open
        .inventory
        .certificates
        .iter()
        .map(|known| &known.facts.serial)
        .collect();
    let revoked = open.revoked.to_sorted();
    let unknown = revoked.iter().filter(|(serial, _)| !known.contains(serial));
    unknown.map(|(serial, _)| (*serial).clone()).collect()
}

fn show(place: &Place, whose: &Whose, pem: bool) -> Result<(), Failure> {
    let open = place.open()?;
    let (role, name) = whose.role_and_name();
    let found = match role {
        Role::Cluster => open.cluster(name)?,
        own => open.inventory.own(own).into_iter().collect(),
    };
    if pem {
        let newest = found.iter().rev().find_map(|known| known.der.as_ref());
        let der =
            newest.ok_or("the certificate itself is not here, only what is known about it")?;
        print!("{}", crate::pki::ca::to_pem(der));
        return Ok(());
    }
    for (position, known) in found.iter().enumerate() {
        if position > 0 {
            println!();
        }
        print!("{}", show::facts(known, &open));
    }
    if let Some(text) = nodes::outstanding(&found, open.now) {
        println!("\n{text}");
    }
    open.complain();
    Ok(())
}

fn renew(place: &Place, whose: &Whose, profile: Profile) -> Result<(), Failure> {
    let now = SystemTime::now();
    match whose.role_and_name() {
        (Role::Ca, _) => Err(
            "the CA's certificate needs no renewal, and there is no way to renew \
             it: nodes know it byte for byte. It does not matter when it ends: neither nodes nor \
             this arbiter look at its end. Only a new CA could take its place, to which every \
             node would have to be joined again"
                .into(),
        ),
        (Role::Server, _) => {
            let renewed =
                Store::renew_server(&place.state_dir(), &ServerNickname::default(), profile, now)?;
            let facts = crate::pki::facts::Facts::of(&renewed.der)?;
            println!(
                "The server has a new certificate: number {}, valid until {}.\n\
                 A running arbiter takes it up by itself within a few seconds; connections stay, \
                 and nodes notice nothing.",
                renewed.serial,
                facts.not_after.date()
            );
            Ok(())
        }
        (Role::Cluster, name) => renew_cluster(place, name, profile.valid_for, now),
    }
}

fn renew_cluster(
    place: &Place,
    name: &str,
    valid_for: Years,
    now: SystemTime,
) -> Result<(), Failure> {
    let open = place.open()?;
    let found = open.cluster(name)?;
    let former = found
        .iter()
        .rev()
        .find(|known| open.revoked.get(&known.facts.serial).is_none());
    let Some(former) = former else {
        return Err(format!(
            "all certificates of cluster {name:?} were revoked, so its key may not be trusted \
             any more; set the cluster up again, which makes a new key"
        )
        .into());
    };
    // Renewing is for a key, and one that was compromised must not come back with a new number.
    let compromised = found.iter().any(|known| {
        let revocation = open.revoked.get(&known.facts.serial);
        revocation.is_some_and(|revocation| revocation.reason == Reason::KeyCompromise)
            && nodes::same_key(known, former)
    });
    let Some(der) = former.der.as_ref().filter(|_| !compromised) else {
        return Err(if compromised {
            format!("the key of cluster {name:?} was reported as compromised; set it up again")
        } else {
            format!(
                "the newest certificate of cluster {name:?}, number {}, is not in {}, so its key \
                 is not known; set the cluster up again",
                former.facts.serial,
                open.store.path().display()
            )
        }
        .into());
    };
    let signed = open
        .store
        .reissue(der, &ClusterName::new(name)?, valid_for, now)?;
    let facts = crate::pki::facts::Facts::of(&signed.der)?;
    println!(
        "Cluster {name:?} has a new certificate, for the key that its nodes have:\n  \
         {}  (number {}, valid until {})\n\
         The nodes go on with number {}, valid until {}, until they are given the new one.\n",
        signed.path.display(),
        facts.serial,
        facts.not_after.date(),
        former.facts.serial,
        former.facts.not_after.date()
    );
    println!("{}", nodes::steps(&signed.path, name));
    open.complain();
    Ok(())
}
