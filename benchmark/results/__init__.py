"""Per-sample result rows and their Parquet schema."""
