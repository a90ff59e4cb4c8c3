"""What people see of a run: metrics, pictures and pages."""
