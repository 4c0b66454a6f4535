"""Report templates, and published reports with the records behind them."""
