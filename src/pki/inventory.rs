//! All certificates that are known: the arbiter's own, the index of issued ones, the files
//! `cluster-NAME.crt` (those of the reference are in no index), and what nodes have shown.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::ca::{self, CLOCK_FLOOR};
use super::dir::{DirError, IdentityDir};
use super::facts::{Facts, Fingerprint, Moment, Serial};
use super::issued::Index;
use super::revoked::{Revocation, Revoked};
use super::seen::Sighting;
use super::store::cluster_of_file;

/// Longer than any certificate.
const MAX_CERTIFICATE: u64 = 64 * 1024;

/// Days after which a certificate that no node has shown counts as out of use.
const IN_USE_DAYS: i64 = 7;

/// Whom a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The CA itself.
    Ca,
    /// The arbiter, towards the nodes.
    Server,
    /// A cluster's nodes, towards the arbiter.
    Cluster,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ca => "ca",
            Self::Server => "server",
            Self::Cluster => "cluster",
        })
    }
}

/// What a certificate is good for at a moment. Of several that hold, the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was revoked, and is refused.
    Revoked(Revocation),
    /// Its time is over. Clusters' certificates are refused then.
    Expired,
    /// The cluster has a newer one; this one is accepted too.
    Superseded,
    /// Its time has not begun.
    NotYetValid,
    /// Its time is over soon.
    Expiring,
    /// It is accepted.
    Valid,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Revoked(_) => "revoked",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::NotYetValid => "not yet valid",
            Self::Expiring => "expiring",
            Self::Valid => "valid",
        })
    }
}

/// A certificate and all that is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Whom it is for.
    pub role: Role,
    /// What it says.
    pub facts: Facts,
    /// What it is good for.
    pub state: State,
    /// When it was issued, if the index says so.
    pub issued: Option<Moment>,
    /// When a node showed it last, if one did.
    pub seen: Option<Moment>,
    /// Where it is.
    pub file: Option<PathBuf>,
    /// The certificate itself, if it is in a file.
    pub der: Option<CertificateDer<'static>>,
}

impl Known {
    /// Whether nodes have shown it lately.
    #[must_use]
    pub fn is_in_use(&self, now: Moment) -> bool {
        self.seen
            .is_some_and(|seen| seen.days_until(now) < IN_USE_DAYS)
    }
}

/// All known certificates.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The CA, the server, and then by cluster and serial number.
    pub certificates: Vec<Known>,
    /// What could not be read, in words for a person.
    pub complaints: Vec<String>,
}

/// Where an inventory comes from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// The identity directory.
    pub dir: &'a Path,
    /// The CA's certificate.
    pub ca: &'a CertificateDer<'static>,
    /// The server's certificate.
    pub server: &'a CertificateDer<'static>,
    /// The list of revoked certificates.
    pub revoked: &'a Revoked,
    /// What nodes have shown.
    pub seen: &'a [Sighting],
}

impl Inventory {
    /// Reads the identity directory. `warn_days` before its end a certificate counts as expiring.
    ///
    /// # Errors
    /// The directory, or the index in it, cannot be read. Single damaged certificates and lines
    /// are complaints.
    pub fn read(sources: &Sources<'_>, now: Moment, warn_days: u32) -> Result<Self, DirError> {
        let dir = IdentityDir::open(sources.dir)?;
        let mut found = Found::default();
        found.add_index(Index::read(&dir)?, Fingerprint::of(sources.ca));
        found.add_files(&dir, sources.ca)?;
        for sighting in sources.seen {
            found.entry(&sighting.facts).seen = Some(sighting.last);
        }
        let own = [(Role::Ca, sources.ca), (Role::Server, sources.server)];
        let mut certificates = Vec::new();
        for (role, der) in own {
            match Facts::of(der) {
                Ok(facts) => certificates.push(Known {
                    role,
                    facts,
                    state: State::Valid,
                    issued: None,
                    seen: None,
                    file: None,
                    der: Some(der.clone()),
                }),
                Err(error) => found.complaints.push(error.to_string()),
            }
        }
        certificates.extend(found.by_name_and_serial.into_values());
        judge(&mut certificates, sources.revoked, now, warn_days);
        Ok(Self {
            certificates,
            complaints: found.complaints,
        })
    }

    /// The certificates of one cluster, oldest first.
    pub fn cluster<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Known> {
        self.certificates
            .iter()
            .filter(move |known| known.role == Role::Cluster && known.facts.name == name)
    }

    /// The arbiter's own certificate of a role.
    #[must_use]
    pub fn own(&self, role: Role) -> Option<&Known> {
        self.certificates.iter().find(|known| known.role == role)
    }
}

#[derive(Default)]
struct Found {
    by_name_and_serial: BTreeMap<(String, Serial), Known>,
    complaints: Vec<String>,
}

impl Found {
    fn entry(&mut self, facts: &Facts) -> &mut Known {
        self.by_name_and_serial
            .entry((facts.name.clone(), facts.serial.clone()))
            .or_insert_with(|| Known {
                role: Role::Cluster,
                facts: facts.clone(),
                state: State::Valid,
                issued: None,
                seen: None,
                file: None,
                der: None,
            })
    }

    fn add_index(&mut self, index: Index, ca: Fingerprint) {
        for entry in index.entries.iter().filter(|entry| entry.ca == ca) {
            self.entry(&entry.facts).issued = Some(entry.issued);
        }
        let complaints = index.complaints.iter().map(ToString::to_string);
        self.complaints.extend(complaints);
    }

    fn add_files(&mut self, dir: &IdentityDir, ca: &CertificateDer<'_>) -> Result<(), DirError> {
        let mut names = dir.names()?;
        names.sort();
        for file in names {
            if cluster_of_file(&file).is_none() {
                continue;
            }
            let read = dir.read(&file, MAX_CERTIFICATE);
            match read
                .map_err(|error| error.to_string())
                .and_then(|contents| {
                    let contents = contents.map_or_else(Vec::new, |(contents, _)| contents);
                    from_file(&contents, ca)
                }) {
                Ok((facts, der)) => {
                    let known = self.entry(&facts);
                    known.file = Some(dir.path_of(&file));
                    known.der = Some(der);
                }
                Err(reason) => self.complaints.push(format!(
                    "{} is not listed: {reason}",
                    dir.path_of(&file).display()
                )),
            }
        }
        Ok(())
    }
}

/// DER as the reference writes it, or PEM, and signed by our CA.
fn from_file(
    contents: &[u8],
    ca: &CertificateDer<'_>,
) -> Result<(Facts, CertificateDer<'static>), String> {
    if contents.is_empty() {
        return Err("it is empty, as the reference's tool leaves it when signing fails".to_owned());
    }
    // A DER certificate is a SEQUENCE, which no PEM file starts with: 0x30 is the digit zero.
    let der = if contents.first() == Some(&0x30) {
        CertificateDer::from(contents.to_vec())
    } else {
        CertificateDer::from_pem_slice(contents).map_err(|error| error.to_string())?
    };
    let facts = Facts::of(&der).map_err(|error| error.to_string())?;
    ca::check_issued_by(&der, ca).map_err(|error| error.to_string())?;
    Ok((facts, der))
}

fn judge(certificates: &mut [Known], revoked: &Revoked, now: Moment, warn_days: u32) {
    // An unset clock must not make everything look as if it had not begun.
    let now = now.max(Moment(CLOCK_FLOOR));
    let mut newest: HashMap<String, Serial> = HashMap::new();
    for known in certificates.iter() {
        let Facts { name, serial, .. } = &known.facts;
        if known.role == Role::Cluster
            && revoked.get(serial).is_none()
            && newest.get(name).is_none_or(|newest| newest < serial)
        {
            newest.insert(name.clone(), serial.clone());
        }
    }
    for known in certificates {
        let Facts {
            name,
            serial,
            not_before,
            not_after,
            ..
        } = &known.facts;
        let superseded =
            known.role == Role::Cluster && newest.get(name).is_some_and(|newest| newest != serial);
        known.state = if let Some(revocation) = revoked.get(serial) {
            State::Revoked(revocation)
        } else if *not_after < now {
            State::Expired
        } else if superseded {
            State::Superseded
        } else if *not_before > now {
            State::NotYetValid
        } else if now.days_until(*not_after) < i64::from(warn_days) {
            State::Expiring
        } else {
            State::Valid
        };
    }
}
