"""Recipe of the vocal bursts: a small network on log-mel maps, trained on single clips that are mixed into speech."""
