//! Opens, inspects and changes virtual machine disk images.
