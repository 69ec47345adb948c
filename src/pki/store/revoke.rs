//! Revoking certificates.

use std::time::SystemTime;

use super::contents::Contents;
use super::{Store, StoreError};
use crate::pki::ca::Authority;
use crate::pki::facts::Serial;
use crate::pki::revoked::{Reason, Revocation, Revoked};

impl Store {
    /// Puts certificates on the list of revoked ones ([`crate::pki::revoked`]). Returns the list
    /// and how many are new on it. A running arbiter refuses them from its next look at the list
    /// on.
    ///
    /// # Errors
    /// [`StoreError::Revoked`] if there is a list that cannot be relied on, and those of
    /// [`Store::authority`]. After an error the list is as before.
    pub fn revoke(
        &self,
        serials: &[Serial],
        reason: Reason,
        now: SystemTime,
    ) -> Result<(Revoked, usize), StoreError> {
        let at = now.into();
        self.change(now, |list| list.add(serials, Revocation { at, reason }))
    }

    /// Takes certificates off the list. Returns the list and how many were on it.
    ///
    /// # Errors
    /// Those of [`Store::revoke`].
    pub fn unrevoke(
        &self,
        serials: &[Serial],
        now: SystemTime,
    ) -> Result<(Revoked, usize), StoreError> {
        self.change(now, |list| list.remove(serials))
    }

    fn change(
        &self,
        now: SystemTime,
        change: impl FnOnce(&mut Revoked) -> usize,
    ) -> Result<(Revoked, usize), StoreError> {
        let lock = self.dir.lock()?;
        let mut list = Revoked::read(&self.dir, &self.ca)?;
        let changed = change(&mut list);
        let contents = Contents::read(&self.dir)?;
        let authority = Authority::load(contents.authority(&self.dir)?)?;
        list.write(&self.dir, &lock, &authority, now)?;
        Ok((list, changed))
    }
}
