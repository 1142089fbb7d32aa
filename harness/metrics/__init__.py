"""Reference metrics: a value per item, sufficient statistics, a signature."""
