"""Rules of whom a tenant wants as customers, and who fits."""
