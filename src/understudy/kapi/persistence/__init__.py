"""What outlives the process: a write-ahead journal and snapshots, for `--data-dir`.

An acknowledged write survives kill -9: every commit is in the journal before it is made. A write
that the disk refuses is an error to its client and changes nothing. Face: `folders.open_folder`.
Never here: verbs, HTTP.
"""
