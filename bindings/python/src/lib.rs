// SPDX-License-Identifier: LGPL-2.1-or-later
//! `import guestfs`: the library as a module of Python.
//!
//! Methods are generated.  What they need is here: the class and its life, how values are
//! converted, how errors become exceptions, and how calls and signals get along.

mod convert;
mod error;
mod event;
#[rustfmt::skip]
mod generated;
mod handle;
mod signals;

use pyo3::prelude::*;

/// Opens, inspects and changes virtual machine disk images.
#[pymodule]
fn guestfs(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<handle::GuestFS>()?;
    let class = module.getattr("GuestFS")?;
    for (alias, name) in generated::ALIASES {
        class.setattr(*alias, class.getattr(*name)?)?;
    }
    let close_all = wrap_pyfunction!(handle::close_all, module)?;
    module.py().import("atexit")?.call_method1("register", (close_all,))?;
    module.add("Error", module.py().get_type::<error::Error>())?;
    module.add("ClosedHandle", module.py().get_type::<error::ClosedHandle>())?;
    module.add_function(wrap_pyfunction!(event::event_to_string, module)?)?;
    for (name, bit) in generated::EVENTS {
        module.add(*name, *bit)?;
    }
    module.add("EVENT_ALL", ::guestfs::Events::ALL.bits())
}
