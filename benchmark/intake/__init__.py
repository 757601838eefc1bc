"""One's own images as a data set: found, split by patient, checked for leakage, written as card and arrays."""
