"""Papers that lean on `girsanov.solvers` most."""
