"""Lesions put into real scans: exact truth on real anatomy, marked as synthetic wherever it goes."""
