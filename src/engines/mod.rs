//! Where more than one process, or a process that comes back, finds its records again.
