"""Attacks. Each receives a view (its threat model), images, labels and a budget, and returns its candidate images."""
