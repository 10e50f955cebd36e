"""Label tables: which id means which structure. Shipped: `totalseg` (117 CT classes), `totalseg_mr` (50 MR classes)."""
