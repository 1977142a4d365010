// SPDX-License-Identifier: LGPL-2.1-or-later
//! What a launch would find on this machine, one thing after the other.

use crate::error::Result;
use crate::handle::Handle;
use crate::launch::diagnose;
use crate::launch::{FoundAppliance, Hypervisor};

impl Handle {
    /// The qemu that a launch of this handle would run.  It is started to ask what it can do.
    pub fn find_hypervisor(&self) -> Result<Hypervisor> {
        diagnose::hypervisor(&self.launch_config())
    }

    /// The appliance that a launch of this handle would run.
    pub fn find_appliance(&self) -> Result<FoundAppliance> {
        diagnose::appliance(&self.launch_config())
    }

    /// Why a launch of this handle would not use KVM; `None` if it would.
    pub fn why_not_kvm(&self) -> Result<Option<String>> {
        diagnose::why_not_kvm(&self.launch_config())
    }
}
