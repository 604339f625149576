"""Papers that lean on `girsanov.processes` most."""
