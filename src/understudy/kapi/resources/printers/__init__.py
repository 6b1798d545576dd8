"""Tables as the real server prints them: columns and rows of every kind, human durations.

Pure: a row is a function of the object and the time.
"""
