//! The program inside the appliance that does the work.
