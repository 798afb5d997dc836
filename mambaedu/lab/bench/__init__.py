"""How fast a scan is, measured: python -m mambaedu.lab.bench selective_scan. One file an operation; `clock` holds the clocks.

A ratio of two times from one run travels to other machines; a time does not. So everything is set against something measured in
the same run: the naive loop, other people's scans, a copy of as many bytes, as many exponentials.
"""
