"""What was measured in the forms that others read; each is a pure function of the evidence."""
