"""Papers that lean on `girsanov.montecarlo` most."""
