//! `qarbiter certs revoke`.

use std::time::SystemTime;

use super::{Failure, Open, Place};
use crate::pki::facts::Serial;
use crate::pki::inventory::{Known, Role};
use crate::pki::revoked::Reason;

/// Options of `qarbiter certs revoke`.
#[derive(Debug, clap::Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    place: Place,
    /// The cluster's name
    cluster: String,
    /// Only the certificate with this number; may be given several times
    #[arg(long, value_name = "N", conflicts_with = "keep_newest")]
    serial: Vec<Serial>,
    /// All but the cluster's newest certificate
    #[arg(long)]
    keep_newest: bool,
    /// unspecified, key-compromise, superseded, cessation-of-operation or privilege-withdrawn
    #[arg(long, default_value_t, conflicts_with = "undo")]
    reason: Reason,
    /// Take the certificates off the list again
    #[arg(long)]
    undo: bool,
    /// Do it; without this, only show what would be done
    #[arg(long)]
    yes: bool,
}

impl Revoke {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let open = self.place.open()?;
        open.complain();
        let serials = self.chosen(&open)?;
        if serials.is_empty() {
            println!(
                "Cluster {:?}: nothing to do, {}",
                self.cluster,
                if self.undo {
                    "none of these certificates is revoked"
                } else {
                    "all of these certificates are revoked already"
                }
            );
            return Ok(());
        }
        self.tell(&open, &serials);
        if !self.yes {
            return Err("nothing was changed; repeat the command with --yes to do this".into());
        }
        let now = SystemTime::now();
        if self.undo {
            open.store.unrevoke(&serials, now)?;
            println!("Done. A running arbiter accepts them again within a few seconds.");
        } else {
            open.store.revoke(&serials, self.reason, now)?;
            println!("Done. A running arbiter refuses them within a few seconds.");
        }
        Ok(())
    }

    /// The certificates that are meant and whose state would change.
    fn chosen(&self, open: &Open) -> Result<Vec<Serial>, Failure> {
        let mut serials: Vec<Serial> = if self.serial.is_empty() {
            let known = open.cluster(&self.cluster)?;
            // One that nobody has is left of a failed attempt.
            let is_good = |known: &&&Known| {
                let is_there = known.file.is_some() || known.seen.is_some();
                is_there && open.revoked.get(&known.facts.serial).is_none()
            };
            let newest = known.iter().rev().find(is_good);
            let newest = newest.filter(|_| self.keep_newest);
            known
                .iter()
                .filter(|one| newest.is_none_or(|newest| newest.facts != one.facts))
                .map(|known| known.facts.serial.clone())
                .collect()
        } else {
            for serial in &self.serial {
                self.demand_own(open, serial)?;
            }
            self.serial.clone()
        };
        serials.retain(|serial| open.revoked.get(serial).is_some() == self.undo);
        serials.sort();
        serials.dedup();
        Ok(serials)
    }

    /// A number that is known to be another's is a mistake; an unknown one may be a certificate of
    /// which nothing is left here.
    fn demand_own(&self, open: &Open, serial: &Serial) -> Result<(), Failure> {
        let owner = |known: &&Known| known.facts.serial == *serial;
        match open.inventory.certificates.iter().find(owner) {
            Some(known) if known.role != Role::Cluster => Err(format!(
                "number {serial} is the {}'s own certificate, which cannot be revoked",
                known.role
            )
            .into()),
            Some(known) if known.facts.name != self.cluster => Err(format!(
                "number {serial} is a certificate of cluster {:?}, not of {:?}",
                known.facts.name, self.cluster
            )
            .into()),
            _ => Ok(()),
        }
    }

    fn tell(&self, open: &Open, serials: &[Serial]) {
        println!(
            "Cluster {:?}: {} {} {}",
            self.cluster,
            serials.len(),
            if serials.len() == 1 {
                "certificate"
            } else {
                "certificates"
            },
            if self.undo {
                "to be accepted again:"
            } else {
                "to be revoked:"
            }
        );
        for serial in serials {
            let known = open.inventory.cluster(&self.cluster);
            match known
                .into_iter()
                .find(|known| known.facts.serial == *serial)
            {
                Some(known) => println!(
                    "  number {serial}, valid until {}, {}",
                    known.facts.not_after.date(),
                    known.seen.map_or_else(
                        || "not seen, or only in the last hour".to_owned(),
                        |seen| format!("last seen {}", seen.date())
                    )
                ),
                None => println!("  number {serial}, of which nothing else is known here"),
            }
        }
        if self.undo {
            return;
        }
        println!("Nodes that use one of them are disconnected at once and refused from then on.");
        let remains = open.inventory.cluster(&self.cluster).any(|known| {
            !serials.contains(&known.facts.serial)
                && open.revoked.get(&known.facts.serial).is_none()
        });
        if remains {
            println!("Nodes that were given another certificate are not affected.");
        } else {
            println!(
                "No certificate of the cluster remains: it loses this arbiter's vote until it is \
                 set up again, which gives it a new one."
            );
        }
    }
}
