// SPDX-License-Identifier: LGPL-2.1-or-later
//! What administrators do with templates: make them before they are needed, look at them, and
//! remove them.

use crate::error::Result;
use crate::handle::Handle;
use crate::launch::{Appliance, Template, Warmed, clear_templates, templates};

impl Handle {
    /// Makes the template from which a launch with the settings of this handle goes on, unless it
    /// is there, and tries it.  Returns whether it was made now.
    ///
    /// Nothing else about the handle changes; drives that it has are not looked at.
    pub fn warm(&self) -> Result<bool> {
        let config = self.launch_config();
        Ok(Appliance::warm(&config, &mut |kind, text| self.log(kind, text))? == Warmed::Now)
    }

    /// The templates in the cache directory of this handle, the last used first.
    pub fn templates(&self) -> Result<Vec<Template>> {
        templates(&self.launch_config().cachedir)
    }

    /// Removes all templates from the cache directory of this handle, and returns how many there
    /// were.  Appliances that are running do not need them any more.
    pub fn clear_templates(&self) -> Result<usize> {
        clear_templates(&self.launch_config().cachedir)
    }
}
