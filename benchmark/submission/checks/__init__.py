"""The checks of the submission contract, one small function each."""
