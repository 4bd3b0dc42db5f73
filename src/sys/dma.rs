//! Memory that devices read and write.
