"""Scans in and out: reading, geometry, intensity, resampling, windows, stores, phantoms."""
