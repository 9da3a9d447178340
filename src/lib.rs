//! GoogLeNet on CPUs.
